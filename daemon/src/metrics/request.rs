//! What an HTTP request asks for. Pure.

use std::net::IpAddr;

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
    /// It came by a name that is not this host's: a page of somebody else's in a browser here has had that name
    /// lead to this host (DNS rebinding).
    WrongHost,
    /// That is no HTTP, or more of it than anybody needs.
    Bad,
}

/// Judges the beginning of a request; `None` where more of it has to come. `is_local` says that it can only come
/// from this host.
pub(super) fn judge(head: &[u8], is_local: bool) -> Option<Verdict> {
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut request = Request::new(&mut headers);
    match request.parse(head) {
        Ok(Status::Complete(_)) => {}
        Ok(Status::Partial) if head.len() < MAX_HEAD_LEN => return None,
        Ok(Status::Partial) | Err(_) => return Some(Verdict::Bad),
    }
    let path = request.path.unwrap_or_default();
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let host = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("host"));
    Some(match request.method {
        _ if is_local && !host.is_none_or(|host| is_this_host(host.value)) => Verdict::WrongHost,
        _ if path != PATH => Verdict::NotFound,
        Some("GET") => Verdict::Figures,
        _ => Verdict::WrongMethod,
    })
}

/// An address, or `localhost`, with or without a port: no name that others can make lead here.
fn is_this_host(host: &[u8]) -> bool {
    let Ok(host) = str::from_utf8(host) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        _ => host,
    };
    let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let addr = inner.unwrap_or(name).parse::<IpAddr>();
    addr.is_ok() || name.eq_ignore_ascii_case("localhost")
}

/// The answer but for its body.
pub(super) fn head(verdict: Verdict, body_len: usize) -> String {
    let (status, more) = match verdict {
        Verdict::Figures => ("200 OK", ""),
        Verdict::NotFound => ("404 Not Found", ""),
        Verdict::WrongMethod => ("405 Method Not Allowed", "Allow: GET\r\n"),
        Verdict::WrongHost => ("403 Forbidden", ""),
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
        Verdict::WrongHost => "Ask for an address, or for localhost.\n",
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
            assert_eq!(judge(&head_of(first_line), false), Some(verdict), "{first_line}");
        }
    }

    #[test]
    fn names_of_others_lead_nowhere_on_this_host() {
        for (host, is_right) in [
            ("127.0.0.1:9745", true),
            ("[::1]:9745", true),
            ("[::1]", true),
            ("localhost", true),
            ("LocalHost:9745", true),
            ("evil.example:9745", false),
            ("localhost.evil.example", false),
            ("", false),
        ] {
            let head = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let wanted = if is_right { Verdict::Figures } else { Verdict::WrongHost };
            assert_eq!(judge(head.as_bytes(), true), Some(wanted), "{host}");
            assert_eq!(judge(head.as_bytes(), false), Some(Verdict::Figures), "{host}");
        }
        assert_eq!(judge(b"GET /metrics HTTP/1.0\r\n\r\n", true), Some(Verdict::Figures));
    }

    #[test]
    fn beginning_is_waited_for_and_what_never_ends_is_refused() {
        let head = head_of("GET /metrics HTTP/1.1");
        for len in 0..head.len() {
            assert_eq!(judge(&head[..len], false), None, "{len}");
        }
        let mut endless = head[..head.len() - 2].to_vec();
        endless.resize(MAX_HEAD_LEN - 1, b'x');
        assert_eq!(judge(&endless, false), None);
        endless.push(b'x');
        assert_eq!(judge(&endless, false), Some(Verdict::Bad));
        let many = "A: b\r\n".repeat(MAX_HEADERS + 1);
        let many = format!("GET /metrics HTTP/1.1\r\n{many}\r\n");
        assert_eq!(judge(many.as_bytes(), false), Some(Verdict::Bad));
    }
}
