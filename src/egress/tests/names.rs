//! Names that resolve late, not at all, or to something else than before.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt as _;

use super::super::error::Unreachable;
use super::*;

/// What a resolver does, one look-up after another; the last one repeats.
#[derive(Clone, Copy)]
enum Told {
    At(&'static str),
    Nothing,
    Failure(i32),
    Silence,
}

/// A client that resolves names as `resolve` says, and a URL of a name at this port. Only 127.0.0.1 is public.
fn client(port: u16, told: &'static [Told]) -> (Egress, Url) {
    let count = AtomicUsize::new(0);
    let lookup = move |name: String| {
        assert_eq!(name, "api.example");
        let answer = told[count.fetch_add(1, Ordering::SeqCst).min(told.len() - 1)];
        async move {
            match answer {
                Told::At(address) => Ok(vec![format!("{address}:0").parse().expect("an address")]),
                Told::Nothing => Err(io::Error::other("failed to lookup address information")),
                Told::Failure(number) => Err(io::Error::from_raw_os_error(number)),
                Told::Silence => std::future::pending().await,
            }
        }
        .boxed()
    };
    let allow = vec![AllowRule::parse("127.0.0.1").expect("a rule")];
    let egress = Egress::resolving(EgressPolicy { allow, ..EgressPolicy::default() }, Arc::new(lookup)).expect("a client");
    (egress, Url::parse(&format!("http://api.example:{port}/")).expect("url"))
}

async fn asked(egress: &Egress, url: &Url) -> Result<(), EgressError> {
    egress.send(get(url)).await.map(|_| ())
}

#[tokio::test]
async fn a_name_that_resolves_to_another_address_later_is_judged_again() {
    let public = bytes_server("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
    let port = public.port().expect("a port");
    // The same port, so that only the guard is in the way.
    let inside = BlockingListener::bind(("127.0.0.2", port)).ok();
    let (egress, url) = client(port, &[Told::At("127.0.0.1"), Told::At("127.0.0.2")]);
    assert_eq!(asked(&egress, &url).await, Ok(()));
    for _ in 0..2 {
        assert!(matches!(asked(&egress, &url).await, Err(EgressError::Denied(_))));
    }
    if let Some(inside) = inside {
        inside.set_nonblocking(true).expect("a socket");
        assert_eq!(inside.accept().expect_err("no one connects").kind(), ErrorKind::WouldBlock);
    }
}

#[tokio::test]
async fn names_that_do_not_resolve_are_told_apart_and_resolve_again() {
    let server = bytes_server("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
    let all = &[Told::Nothing, Told::Silence, Told::Failure(24), Told::At("127.0.0.1")];
    let (egress, url) = client(server.port().expect("a port"), all);
    assert_eq!(asked(&egress, &url).await, Err(EgressError::Unreachable(Unreachable::Dns)));
    let mut request = get(&url);
    request.limits.first_byte = Duration::from_millis(300);
    assert!(matches!(egress.send(request).await, Err(EgressError::Timeout(_))), "a resolver that does not answer");
    assert_eq!(asked(&egress, &url).await, Err(EgressError::Unreachable(Unreachable::OutOfDescriptors)));
    assert_eq!(asked(&egress, &url).await, Ok(()));
}

#[tokio::test]
async fn names_inside_a_cluster_are_judged_by_their_address_like_all_others() {
    // As a cluster's DNS answers for a service (of loopback here, since it is asked below), for the API server itself and for a pod.
    let inside = [
        ("receiver.shop.svc", "127.0.0.9"),
        ("kubernetes.default.svc.cluster.local", "10.96.0.1"),
        ("10-244-1-5.shop.pod.cluster.local", "10.244.1.5"),
    ];
    let lookup = move |name: String| {
        let found = inside.iter().find(|(own, _)| *own == name).map(|(_, address)| format!("{address}:0"));
        async move { Ok(vec![found.expect("one of these names").parse().expect("an address")]) }.boxed()
    };
    let egress = |allow: Vec<AllowRule>| {
        Egress::resolving(EgressPolicy { allow, ..EgressPolicy::default() }, Arc::new(lookup)).expect("a client")
    };
    for (name, _) in inside {
        let url = Url::parse(&format!("http://{name}:8080/")).expect("a URL");
        let Err(EgressError::Denied(denied)) = asked(&egress(Vec::new()), &url).await else { panic!("{name} is asked") };
        let said = EgressError::Denied(denied).into_problem(Peer::Callback).message;
        assert!(
            said.contains(name) && !said.contains("10.") && !said.contains("127."),
            "the name, and nothing of what it resolves to: {said}"
        );
    }
    // The one that an administrator allows is asked, and no other.
    let allowed = egress(vec![AllowRule::parse("receiver.shop.svc").expect("a rule")]);
    let url = |name: &str| Url::parse(&format!("http://{name}:8080/")).expect("a URL");
    assert!(!matches!(asked(&allowed, &url(inside[0].0)).await, Err(EgressError::Denied(_))));
    assert!(matches!(asked(&allowed, &url(inside[1].0)).await, Err(EgressError::Denied(_))));
}
