//! The yardstick beside each figure: the same requests by the bare HTTP client. Machines differ, and a busy one is slow; the
//! ratio to this stays.

use std::time::Duration;

use futures::StreamExt as _;
use tokio::runtime::Builder;

use crate::process;

/// CPU of one GET, in microseconds, when one is sent every millisecond.
pub fn paced_gets(url: &str, count: u64) -> f64 {
    measure(count, async move |client| {
        let mut pace = tokio::time::interval(Duration::from_millis(1));
        let mut requests = tokio::task::JoinSet::new();
        for _ in 0..count {
            pace.tick().await;
            let request = client.get(url).header("accept", "application/json").send();
            requests.spawn(async move { request.await.expect("the server answers").bytes().await.expect("it has a body") });
        }
        requests.join_all().await;
    })
}

/// CPU of one GET, in microseconds, when so many are in flight.
pub fn gets(url: &str, count: u64, in_flight: usize) -> f64 {
    measure(count, async move |client| {
        let get = async |_| client.get(url).header("accept", "application/json").send().await?.bytes().await;
        let answers = futures::stream::iter(0..count).map(get).buffer_unordered(in_flight);
        answers.for_each(async |body| assert!(!body.expect("the server answers").is_empty())).await;
    })
}

/// CPU of one POST of so many bytes, in microseconds, when so many are in flight.
pub fn posts(url: &str, count: u64, bytes: usize, in_flight: usize) -> f64 {
    measure(count, async move |client| {
        let post = |_| client.post(url).body(vec![b'x'; bytes]).send();
        let answers = futures::stream::iter(0..count).map(post).buffer_unordered(in_flight);
        answers.for_each(async |answer| assert!(answer.expect("the server answers").status().is_success())).await;
    })
}

fn measure(count: u64, send: impl AsyncFnOnce(reqwest::Client)) -> f64 {
    let runtime = Builder::new_multi_thread().enable_all().build().expect("the run time starts");
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().tls_certs_only([]).build().expect("a client is made");
    let before = process::cpu();
    runtime.block_on(send(client));
    process::micros_each(process::cpu_since(before), count)
}
