//! Redirects stay within the origin.

use super::super::error::RedirectFault;
use super::*;

async fn redirecting(status: u16, location: &str) -> Url {
    bytes_server(format!("HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")).await
}

#[tokio::test]
async fn redirects_to_another_origin_are_refused_without_a_connection() {
    let trap = Trap::set();
    let port = trap.port();
    for status in [301, 302, 303, 307, 308] {
        for location in [
            format!("http://127.0.0.1:{port}/"),
            format!("http://localhost:{port}/"),
            format!("//127.0.0.1:{port}/x"),
            format!("https://127.0.0.1:{port}/"),
            "http://169.254.169.254/latest/meta-data".to_owned(),
            "http://[::ffff:169.254.169.254]/".to_owned(),
            "http://[64:ff9b::a9fe:a9fe]/".to_owned(),
            "http://2852039166/".to_owned(),
            "file:///etc/passwd".to_owned(),
        ] {
            let url = redirecting(status, &location).await;
            let error = fails(get(&url)).await;
            let EgressError::RedirectRefused(RedirectFault::OtherOrigin(shown)) = &error else {
                panic!("{status} {location}: {error:?}")
            };
            let leads_to_a_host = location.starts_with("http");
            assert_eq!(shown.starts_with("http"), leads_to_a_host || location.starts_with("//"), "{location}: {shown}");
        }
    }
    assert!(!trap.was_touched());
}

#[tokio::test]
async fn redirects_that_lead_nowhere_are_refused() {
    let url = redirecting(302, "http://[/").await;
    assert_eq!(fails(get(&url)).await, EgressError::RedirectRefused(RedirectFault::InvalidLocation));
    let url = server(|mut stream| async move {
        let head = read_head(&mut stream).await;
        let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default().to_owned();
        let head = format!("HTTP/1.1 302 Found\r\nLocation: http://user:pass@{host}/\r\nContent-Length: 0\r\n\r\n");
        let _ = stream.write_all(head.as_bytes()).await;
    })
    .await;
    assert_eq!(fails(get(&url)).await, EgressError::RedirectRefused(RedirectFault::InvalidLocation));
    let loops = redirecting(302, "/again").await;
    assert_eq!(fails(get(&loops)).await, EgressError::RedirectRefused(RedirectFault::TooMany));
}

#[tokio::test]
async fn redirects_within_the_origin_are_followed_with_the_same_headers() {
    let url = server(|mut stream| async move {
        let head = read_head(&mut stream).await;
        let bytes = match head.split(' ').nth(1) {
            Some("/a/old") => b"HTTP/1.1 301 Moved\r\nLocation: new?x=1\r\nContent-Length: 0\r\n\r\n".to_vec(),
            _ => answer("", head.as_bytes()),
        };
        let _ = stream.write_all(&bytes).await;
    })
    .await;
    let mut request = get(&url.join("/a/old").expect("url"));
    request.headers.insert(header::AUTHORIZATION, "Bearer t".parse().expect("value"));
    let response = local().send(request).await.expect("answer");
    assert_eq!(response.url, url.join("/a/new?x=1").expect("url"));
    let head = String::from_utf8(response.body.to_vec()).expect("text");
    assert!(head.contains("authorization: Bearer t\r\n"), "{head}");
}

#[tokio::test]
async fn a_redirect_within_the_origin_keeps_credentials_of_the_query() {
    let url = server(|mut stream| async move {
        let head = read_head(&mut stream).await;
        let bytes = match head.split(' ').nth(1) {
            Some(target) if target.starts_with("/old") => {
                b"HTTP/1.1 302 Found\r\nLocation: /new?x=1&key=older\r\nContent-Length: 0\r\n\r\n".to_vec()
            }
            _ => answer("", head.as_bytes()),
        };
        let _ = stream.write_all(&bytes).await;
    })
    .await;
    let mut request = get(&url.join("/old?page=2").expect("url"));
    request.set_credentials(&[("key".to_owned(), "s/1".to_owned()), ("v".to_owned(), "2".to_owned())]);
    assert_eq!(request.url.query(), Some("page=2&key=s%2F1&v=2"));
    let response = local().send(request).await.expect("answer");
    assert_eq!(response.url, url.join("/new?x=1&key=s%2F1&v=2").expect("url"), "other parameters are for the server to say");
}

#[tokio::test]
async fn a_redirect_that_may_not_be_followed_is_an_answer() {
    let url = redirecting(307, "/elsewhere").await;
    let never = Request { redirects: Redirects::Never, ..get(&url) };
    let post = Request { method: Method::POST, ..get(&url) };
    for request in [never, post] {
        assert_eq!(local().send(request).await.expect("answer").status, StatusCode::TEMPORARY_REDIRECT);
    }
}
