//! What a kubelet serves: the logs of its containers, for `kubectl logs` and `helm test --logs`, and `kubectl port-forward`.

use std::convert::Infallible;
use std::io::SeekFrom;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::house::{House, Resident};
use super::port_forward;

/// How soon a log that is followed is looked at again.
const LOOK: Duration = Duration::from_millis(100);

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, acceptor: TlsAcceptor, house: Arc<House>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, house) = (acceptor.clone(), Arc::clone(&house));
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(|request| {
                let house = Arc::clone(&house);
                async move { Ok::<_, Infallible>(answer(&house, request).await) }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
        });
    }
}

/// What is wanted of a log.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    follow: bool,
    previous: bool,
    lines: Option<usize>,
}

impl Wanted {
    fn of(query: &str) -> Self {
        let mut wanted = Self::default();
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match name {
                "follow" => wanted.follow = value == "true",
                "previous" => wanted.previous = value == "true",
                "tailLines" => wanted.lines = value.parse().ok(),
                _ => {}
            }
        }
        wanted
    }
}

async fn answer(house: &Arc<House>, request: Request<Incoming>) -> Response<Body> {
    let decoded = percent_decode_str(request.uri().path()).decode_utf8_lossy().into_owned();
    let parts: Vec<_> = decoded.trim_start_matches('/').split('/').collect();
    if let ["portForward", namespace, pod] = parts[..] {
        let pod = (namespace.to_owned(), pod.to_owned());
        return port_forward::hand_on(house, request, pod).await;
    }
    let wanted = Wanted::of(request.uri().query().unwrap_or_default());
    let ["containerLogs", _, pod, container] = parts[..] else {
        return refusal(StatusCode::NOT_FOUND, "this kubelet serves containerLogs and portForward alone");
    };
    let runs: Vec<_> = house.residents().iter().filter(|one| one.pod == pod && one.container == container).cloned().collect();
    let Some(resident) = runs.iter().rev().nth(usize::from(wanted.previous)) else {
        return refusal(StatusCode::BAD_REQUEST, &format!("container {container} of pod {pod} has no such run"));
    };
    let Ok(mut file) = File::open(&resident.log).await else {
        return refusal(StatusCode::INTERNAL_SERVER_ERROR, "the log cannot be opened");
    };
    let mut text = Vec::new();
    if file.read_to_end(&mut text).await.is_err() {
        return refusal(StatusCode::INTERNAL_SERVER_ERROR, "the log cannot be read");
    }
    let read = text.len() as u64;
    let first = Bytes::copy_from_slice(tail(&text, wanted.lines));
    if !wanted.follow {
        return Response::new(Body::from(first));
    }
    let state = (Arc::clone(house), resident.clone(), read, Some(first));
    Response::new(Body::from_stream(stream::unfold(state, next)))
}

type Following = (Arc<House>, Resident, u64, Option<Bytes>);

/// What was written since; ends after the container did.
async fn next((house, resident, mut read, first): Following) -> Option<(Result<Bytes, Infallible>, Following)> {
    if let Some(first) = first {
        return Some((Ok(first), (house, resident, read, None)));
    }
    loop {
        let runs = house.residents().iter().any(|one| {
            one.pod == resident.pod && one.container == resident.container && one.run == resident.run && one.process.is_some()
        });
        let mut text = Vec::new();
        let mut file = File::open(&resident.log).await.ok()?;
        file.seek(SeekFrom::Start(read)).await.ok()?;
        file.read_to_end(&mut text).await.ok()?;
        if !text.is_empty() {
            read += text.len() as u64;
            return Some((Ok(Bytes::from(text)), (house, resident, read, None)));
        }
        if !runs {
            return None;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The last so many lines.
fn tail(text: &[u8], lines: Option<usize>) -> &[u8] {
    let Some(lines) = lines else { return text };
    let ends: Vec<_> = (0..text.len().saturating_sub(1)).filter(|at| text[*at] == b'\n').collect();
    match lines.checked_sub(1) {
        None => &[],
        Some(before) if before >= ends.len() => text,
        Some(before) => &text[ends[ends.len() - 1 - before] + 1..],
    }
}

pub fn refusal(status: StatusCode, message: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(message.to_owned()));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines() {
        for (text, lines, want) in
            [("a\nb\nc\n", 2, "b\nc\n"), ("a\nb\nc", 1, "c"), ("a\nb\n", 5, "a\nb\n"), ("a\n", 0, ""), ("", 3, "")]
        {
            assert_eq!(tail(text.as_bytes(), Some(lines)), want.as_bytes(), "{text:?} {lines}");
        }
    }

    #[test]
    fn a_query_is_read() {
        let wanted = Wanted { follow: true, previous: false, lines: Some(3) };
        assert_eq!(Wanted::of("follow=true&tailLines=3&timestamps=false&previous=false"), wanted);
        assert_eq!(Wanted::of(""), Wanted::default());
    }
}
