use std::net::Ipv4Addr;

use tokio::task::AbortHandle;

use super::*;

/// Ends with the test.
struct Running {
    addr: SocketAddr,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn start(text: Option<&'static str>) -> Running {
    start_with(TIMEOUT, text).await
}

async fn start_with(timeout: Duration, text: Option<&'static str>) -> Running {
    let mut endpoint = Endpoint::bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    endpoint.timeout = timeout;
    let addr = endpoint.listener.local_addr().unwrap();
    let run = endpoint.run(move || async move { text.map(str::to_owned) });
    Running { addr, task: tokio::spawn(run).abort_handle() }
}

/// What comes back for `request`.
async fn ask(addr: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn figures_come_with_their_length_and_type() {
    let running = start(Some("x 1\n")).await;
    let answer = ask(running.addr, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let expected = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
                    Content-Length: 4\r\nConnection: close\r\n\r\nx 1\n";
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn everything_else_is_refused_and_the_next_one_is_served() {
    let running = start(Some("x 1\n")).await;
    let body = "x".repeat(10_000);
    let post = format!("POST /metrics HTTP/1.1\r\nContent-Length: 10000\r\n\r\n{body}");
    let endless = format!("GET /metrics HTTP/1.1\r\nA: {}", "x".repeat(MAX_HEAD_LEN));
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "404"),
        (post.as_str(), "405"),
        (endless.as_str(), "400"),
        ("\x13\0\0\0\x04\x07\x0a\0\x02", "400"),
    ] {
        let answer = ask(running.addr, request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert_eq!(answer.contains("\r\nAllow: GET\r\n"), status == "405");
    }
    let answer = ask(running.addr, b"GET /metrics HTTP/1.0\r\n\r\n").await;
    assert!(answer.ends_with("\r\n\r\nx 1\n"), "{answer}");
}

#[tokio::test]
async fn who_has_no_figures_any_more_hangs_up() {
    let running = start(None).await;
    assert_eq!(ask(running.addr, b"GET /metrics HTTP/1.1\r\n\r\n").await, "");
}

#[tokio::test]
async fn those_who_say_nothing_keep_others_waiting_no_longer_than_the_timeout() {
    let running = start_with(Duration::from_secs(1), Some("x 1\n")).await;
    let mut silent = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        silent.push(TcpStream::connect(running.addr).await.unwrap());
    }
    let answer = ask(running.addr, b"GET /metrics HTTP/1.1\r\n\r\n").await;
    assert!(answer.ends_with("x 1\n"), "{answer}");
    for stream in &mut silent {
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "cut off");
    }
}

#[tokio::test]
async fn address_in_use_is_told_with_what_to_do() {
    let running = start(None).await;
    let error = Endpoint::bind(running.addr).await.unwrap_err();
    assert_eq!(error.to_string(), format!("serve metrics on {}", running.addr));
    assert!(error.hint().contains("another port"), "{}", error.hint());
}
