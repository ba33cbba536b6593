//! Heads that are no heads, and no answer at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::super::error::{BrokenAnswer, Part, Phase, TlsFault, Unreachable};
use super::*;

#[tokio::test]
async fn heads_are_bounded() {
    let line = format!("X-Long: {}\r\n", "a".repeat(1024));
    let passes = bytes_server(answer(&line.repeat(60), b"ok")).await;
    assert!(local().send(get(&passes)).await.is_ok());
    for lines in [line.repeat(64), "A: b\r\n".repeat(1000), format!("X-Huge: {}\r\n", "a".repeat(1024 * 1024))] {
        let url = bytes_server(answer(&lines, b"ok")).await;
        assert_eq!(fails(get(&url)).await, EgressError::TooLarge(Part::Headers));
    }
    let url = endless_server("HTTP/1.1 200 OK\r\nX: ", vec![b'a'; 65536]).await;
    assert_eq!(fails(get(&url)).await, EgressError::TooLarge(Part::Headers));
}

#[tokio::test]
async fn what_is_not_http_is_a_broken_answer() {
    for bytes in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
    ] {
        let url = bytes_server(bytes).await;
        assert_eq!(fails(get(&url)).await, EgressError::BrokenAnswer(BrokenAnswer::Head), "{bytes}");
    }
}

#[tokio::test]
async fn interim_answers_without_end_are_cut_by_the_deadline() {
    let url = endless_server("", b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100)).await;
    let mut request = get(&url);
    request.limits.first_byte = Duration::from_millis(200);
    assert_eq!(fails(request).await, EgressError::Timeout(Phase::FirstByte));
}

#[tokio::test]
async fn silence_is_a_timeout_of_its_phase() {
    for (start, phase) in [
        ("", Phase::FirstByte),
        ("HTTP/1.1 200 OK\r\n", Phase::FirstByte),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345", Phase::SlowBody),
        ("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 10\r\n\r\n\u{1f}", Phase::SlowBody),
    ] {
        let url = stalling_server(start).await;
        // a body is too slow after a second at the earliest
        let bounds = if phase == Phase::FirstByte { [100, 100] } else { [1_500, 60_000] }.map(Duration::from_millis);
        let answer = within(bounds, async |bound| {
            let mut request = get(&url);
            (request.limits.total, request.limits.first_byte) = (bound, bound);
            local().send(request).await.map(|_| ())
        });
        assert_eq!(answer.await, Err(EgressError::Timeout(phase)), "{start:?}");
    }
}

/// Writes a head, then `bytes` bytes every ten milliseconds, `times` times.
async fn dripping_server(bytes: usize, times: usize) -> Url {
    server(move |mut stream| async move {
        read_head(&mut stream).await;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes * times);
        let _ = stream.write_all(head.as_bytes()).await;
        for _ in 0..times {
            if stream.write_all(&vec![b'x'; bytes]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_body_that_drips_ends_long_before_its_deadline_and_one_that_is_slow_passes() {
    let drip = dripping_server(1, 10_000).await;
    let answer = within([Duration::from_secs(2), Duration::from_mins(1)], async |total| {
        let mut request = get(&drip);
        request.limits.total = total;
        local().send(request).await.map(|_| ())
    });
    assert_eq!(answer.await, Err(EgressError::Timeout(Phase::SlowBody)), "a hundred bytes a second");
    let slow = dripping_server(1_024, 100).await;
    let mut request = get(&slow);
    // long before the end of the body, it would have been slow
    request.limits.total = Duration::from_mins(1);
    assert_eq!(local().send(request).await.expect("all of it").body.len(), 102_400);
}

#[tokio::test]
async fn a_closed_port_refuses() {
    let trap = Trap::set();
    let url = Url::parse(&format!("http://127.0.0.1:{}/", trap.port())).expect("url");
    drop(trap);
    assert_eq!(fails(get(&url)).await, EgressError::Unreachable(Unreachable::Refused));
}

#[tokio::test]
async fn a_connection_closed_without_an_answer_is_unreachable() {
    for bytes in ["", "HTTP/1.1 200 OK\r\nX: 1"] {
        let url = bytes_server(bytes).await;
        assert_eq!(fails(get(&url)).await, EgressError::Unreachable(Unreachable::Closed), "{bytes:?}");
    }
}

#[tokio::test]
async fn a_get_whose_connection_was_closed_is_sent_once_more_and_a_post_is_not() {
    for (method, connections, answered) in [(Method::GET, 1, true), (Method::GET, 2, false), (Method::POST, 1, false)] {
        let closing = Arc::new(AtomicUsize::new(connections));
        let url = server(move |mut stream| {
            let closing = Arc::clone(&closing);
            async move {
                read_head(&mut stream).await;
                if closing.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_err() {
                    let _ = stream.write_all(&answer("", b"ok")).await;
                }
            }
        })
        .await;
        let request = Request { method: method.clone(), ..get(&url) };
        let outcome = local().send(request).await.map(|response| response.body);
        let expected = if answered { Ok("ok".into()) } else { Err(EgressError::Unreachable(Unreachable::Closed)) };
        assert_eq!(outcome, expected, "{method} after {connections} closed connections");
    }
}

/// A server whose keep-alive ends when the second request comes: what was read of that one is unknown.
#[tokio::test]
async fn a_request_that_goes_apart_meets_no_connection_that_is_about_to_close() {
    let url = server(|mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(&answer("", b"ok")).await;
        read_head(&mut stream).await;
    })
    .await;
    let post = || Request { method: Method::POST, ..get(&url) };
    let egress = local();
    // A connection is kept from some moment after the answer on.
    let mut met = false;
    for _ in 0..1000 {
        met |= matches!(egress.send(post()).await, Err(EgressError::Unreachable(Unreachable::Closed)));
        if met {
            break;
        }
    }
    assert!(met, "no connection was used twice");
    for _ in 0..20 {
        assert!(egress.send_apart(post(), None).await.is_ok());
    }
}

#[tokio::test]
async fn a_name_that_cannot_exist_is_not_resolved() {
    // A label of more than 63 octets is refused before any server is asked, RFC 1035 §2.3.4.
    let url = Url::parse(&format!("http://{}.example/", "a".repeat(64))).expect("url");
    assert_eq!(fails(get(&url)).await, EgressError::Unreachable(Unreachable::Dns));
}

#[tokio::test]
async fn https_without_tls_behind_it_is_a_failed_handshake() {
    let mut url = server(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        // Closing with unread bytes would reset the connection before the answer is seen.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    url.set_scheme("https").expect("scheme");
    let error = fails(get(&url)).await;
    assert!(matches!(error, EgressError::Tls(TlsFault::Handshake)), "{error:?}");
}
