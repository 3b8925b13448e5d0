//! What an HTTP request asks for. Pure.

use httparse::{EMPTY_HEADER, Request, Status};

/// The longest head of a request in bytes; a scraper's has a few hundred.
pub(super) const MAX_HEAD_LEN: usize = 8 * 1024;
/// So many headers are looked at.
const MAX_HEADERS: usize = 64;
/// The one thing that is here.
const PATH: &str = "/metrics";

/// What a request gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The figures.
    Figures,
    /// There is nothing else.
    NotFound,
    /// Nothing can be changed here.
    WrongMethod,
    /// That is no HTTP, or more of it than anybody needs.
    Bad,
}

/// Judges the beginning of a request; `None` where more of it has to come.
pub(super) fn judge(head: &[u8]) -> Option<Verdict> {
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut request = Request::new(&mut headers);
    match request.parse(head) {
        Ok(Status::Complete(_)) => {}
        Ok(Status::Partial) if head.len() < MAX_HEAD_LEN => return None,
        Ok(Status::Partial) | Err(_) => return Some(Verdict::Bad),
    }
    let path = request.path.unwrap_or_default();
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    Some(match request.method {
        _ if path != PATH => Verdict::NotFound,
        Some("GET") => Verdict::Figures,
        _ => Verdict::WrongMethod,
    })
}

/// The answer but for its body.
pub(super) fn head(verdict: Verdict, body_len: usize) -> String {
    let (status, more) = match verdict {
        Verdict::Figures => ("200 OK", ""),
        Verdict::NotFound => ("404 Not Found", ""),
        Verdict::WrongMethod => ("405 Method Not Allowed", "Allow: GET\r\n"),
        Verdict::Bad => ("400 Bad Request", ""),
    };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {body_len}\r\n{more}Connection: close\r\n\r\n"
    )
}

/// What people are told who ask for something else.
pub(super) fn words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Figures => "",
        Verdict::NotFound => "There is /metrics and nothing else.\n",
        Verdict::WrongMethod => "There is GET and nothing else.\n",
        Verdict::Bad => "That is no HTTP request.\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head_of(first_line: &str) -> Vec<u8> {
        format!("{first_line}\r\nHost: x\r\nAccept: */*\r\n\r\n").into_bytes()
    }

    #[test]
    fn only_get_of_metrics_gets_figures() {
        for (first_line, verdict) in [
            ("GET /metrics HTTP/1.1", Verdict::Figures),
            ("GET /metrics?x=y HTTP/1.0", Verdict::Figures),
            ("POST /metrics HTTP/1.1", Verdict::WrongMethod),
            ("HEAD /metrics HTTP/1.1", Verdict::WrongMethod),
            ("GET / HTTP/1.1", Verdict::NotFound),
            ("GET /metrics/x HTTP/1.1", Verdict::NotFound),
            ("DELETE /x HTTP/1.1", Verdict::NotFound),
            ("\x13\0\0\0\x04", Verdict::Bad),
            ("GET /metrics", Verdict::Bad),
        ] {
            assert_eq!(judge(&head_of(first_line)), Some(verdict), "{first_line}");
        }
    }

    #[test]
    fn beginning_is_waited_for_and_what_never_ends_is_refused() {
        let head = head_of("GET /metrics HTTP/1.1");
        for len in 0..head.len() {
            assert_eq!(judge(&head[..len]), None, "{len}");
        }
        let mut endless = head[..head.len() - 2].to_vec();
        endless.resize(MAX_HEAD_LEN - 1, b'x');
        assert_eq!(judge(&endless), None);
        endless.push(b'x');
        assert_eq!(judge(&endless), Some(Verdict::Bad));
        let many = "A: b\r\n".repeat(MAX_HEADERS + 1);
        let many = format!("GET /metrics HTTP/1.1\r\n{many}\r\n");
        assert_eq!(judge(many.as_bytes()), Some(Verdict::Bad));
    }
}
