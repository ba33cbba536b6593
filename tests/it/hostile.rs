//! Providers that misbehave: each fault ends with its condition, costs bounded memory, and harms no neighbour in the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::rig;
use crate::rig::faults;
use crate::rig::http::{Answer, Ask, Body, Server};
use crate::rig::manifest::{self, Instance};
use crate::rig::pollinator::{Pollinator, Site};
use crate::rig::provider::{self, Provider};
use crate::rig::receiver::Receiver;

/// A fault that ends when the test says so.
struct Case {
    name: &'static str,
    reason: &'static str,
    provider: Provider,
    over: Arc<AtomicBool>,
    /// Whether polling is expected to work again within the test's time once the fault is over.
    recovers: bool,
}

fn case(name: &'static str, reason: &'static str, answer: impl FnMut(&Ask) -> Answer + Send + 'static) -> Case {
    let provider = Provider::start();
    let over = Arc::new(AtomicBool::new(false));
    let (mut answer, is_over) = (answer, Arc::clone(&over));
    provider.misbehave(move |ask| (!is_over.load(Ordering::SeqCst)).then(|| answer(ask)));
    Case { name, reason, provider, over, recovers: true }
}

fn status(name: &'static str, reason: &'static str, status: u16) -> Case {
    case(name, reason, move |_| Answer::status(status))
}

fn patient(name: &'static str, status: u16, retry_after: &'static str) -> Case {
    let mut case = case(name, "RateLimited", move |_| Answer::status(status).header("Retry-After", retry_after));
    case.recovers = false;
    case
}

/// Runs all cases beside a healthy instance in one process, waits for each condition and the recovery, and judges the neighbour.
fn run(cases: &[Case]) -> Pollinator {
    let receiver = Receiver::start();
    let healthy = Provider::start();
    let instance = |name: &str, provider: &Provider| Instance::new(name, &provider.url(), &receiver.url(name)).basic_auth();
    let mut documents = vec![instance("healthy", &healthy).yaml()];
    documents.extend(cases.iter().map(|case| instance(case.name, &case.provider).earliest().yaml()));
    let site = Site::new(&documents);
    let pollinator = site.start();
    pollinator.wait_ready("healthy");

    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        // the neighbour's records change all the while
        scope.spawn(|| {
            for round in 0.. {
                if done.load(Ordering::SeqCst) {
                    return;
                }
                healthy.create(&format!("steady-{round}"));
                healthy.try_wait_asked(healthy.asked() + 1, Duration::from_secs(6));
            }
        });
        let waits: Vec<_> = cases.iter().map(|case| scope.spawn(|| wait_out(case, &pollinator, &receiver))).collect();
        let failed: Vec<_> = waits.into_iter().filter_map(|wait| wait.join().err()).collect();
        done.store(true, Ordering::SeqCst);
        assert!(failed.is_empty(), "{} of {} cases failed, see above", failed.len(), cases.len());
    });

    let verdict = rig::settle(&receiver, "healthy", || healthy.truth(), provider::version);
    rig::assert_perfect(&verdict, &pollinator, "healthy");
    let stumbled: Vec<_> = pollinator.rows("healthy").into_iter().filter(|row| row.ready == "False").collect();
    assert!(stumbled.is_empty(), "the healthy neighbour was disturbed: {stumbled:?}");
    if let Some(mebibytes) = pollinator.peak_memory() {
        assert!(mebibytes < 300, "peak memory {mebibytes} MiB");
    }
    pollinator
}

fn wait_out(case: &Case, pollinator: &Pollinator, receiver: &Receiver) {
    let message = pollinator.wait_reason(case.name, case.reason);
    assert!(message.len() > 20 && !message.contains('\n'), "{}: not a sentence: {message}", case.name);
    if !case.recovers {
        return;
    }
    case.provider.create("after");
    case.over.store(true, Ordering::SeqCst);
    let verdict = rig::settle(receiver, case.name, || case.provider.truth(), provider::version);
    assert!(verdict.missing.is_empty(), "{}: did not recover: {verdict}\n{}", case.name, pollinator.report(case.name));
    pollinator.wait_ready(case.name);
}

#[test]
fn statuses_end_with_their_condition() {
    run(&[
        status("answers-401", "Unauthorized", 401),
        status("answers-403", "Forbidden", 403),
        status("answers-404", "NotFound", 404),
        status("answers-410", "NotFound", 410),
        status("answers-418", "UnexpectedStatus", 418),
        status("answers-500", "ProviderError", 500),
        status("answers-502", "ProviderError", 502),
        status("answers-503", "ProviderError", 503),
        status("answers-429", "RateLimited", 429),
        patient("waits-429-seconds", 429, "3600"),
        patient("waits-429-date", 429, "Fri, 31 Dec 2199 23:59:59 GMT"),
        patient("waits-429-garbage", 429, "soon"),
        patient("waits-429-ten-years", 429, "315360000"),
        patient("waits-503-seconds", 503, "3600"),
    ]);
}

#[test]
fn broken_answers_end_with_their_condition() {
    let mut stalled = case("stalled-body", "ProviderTimeout", |_| {
        Answer::status(200).header("Content-Type", "application/json").body(Body::Stalled(b"{\"records\":[".to_vec()))
    });
    stalled.recovers = false; // its condition alone takes a minute
    run(&[
        stalled,
        case("truncated-body", "InvalidResponse", |_| Answer::status(200).body(Body::Truncated(b"{\"records\":[".to_vec()))),
        case("chunks-cut", "InvalidResponse", |_| Answer::status(200).body(Body::ChunkedCut(b"{\"records\":[".to_vec()))),
        case("hangs-up", "ProviderUnreachable", |_| Answer::hang_up()),
        case("html", "InvalidResponse", |_| faults::html()),
        case("empty-body", "InvalidResponse", |_| Answer::json("")),
        case("half-json", "InvalidResponse", |_| Answer::json("{\"records\":[{\"id\":\"1\"")),
        case("trailing-garbage", "InvalidResponse", |_| Answer::json("{\"records\":[],\"next\":null} tail")),
        case("not-a-number", "InvalidResponse", |_| Answer::json("{\"records\":[{\"id\":NaN}],\"next\":null}")),
        case("object-for-array", "RecordsNotFound", |_| Answer::json("{\"records\":{},\"next\":null}")),
        case("no-records", "RecordsNotFound", |_| Answer::json("{\"items\":[],\"next\":null}")),
        case("mislabelled", "InvalidResponse", |_| faults::mislabelled()),
        case("missing-id", "MissingId", |_| faults::page("\"modified\":\"2026-01-01T00:00:00.000Z\"", "null")),
        case("bad-date", "InvalidDate", |_| faults::page("\"id\":\"after\",\"version\":1,\"modified\":\"yesterday\"", "null")),
    ]);
}

#[test]
fn oversized_answers_cost_bounded_memory() {
    let pollinator = run(&[
        case("gzip-bomb", "ResponseTooLarge", |_| faults::gzip_bomb()),
        case("gzip-of-zeros", "ResponseTooLarge", |_| faults::gzip_of_zeros()),
        case("endless-body", "ResponseTooLarge", |_| faults::endless()),
        case("large-record", "ResponseTooLarge", |_| faults::large_record(33 * 1024 * 1024)),
        case("deep-record", "InvalidResponse", |_| faults::deep(100_000)),
        case("large-headers", "ResponseTooLarge", |_| {
            (0..40).fold(Answer::json("{}"), |answer, n| answer.header(&format!("X-Filler-{n}"), "x".repeat(2_000)))
        }),
    ]);
    if let Some(mebibytes) = pollinator.peak_memory() {
        println!("peak memory {mebibytes} MiB");
        // sixteen million zeros in 32 kB cost 615 MiB once
        assert!(mebibytes < 300, "peak memory {mebibytes} MiB");
    }
}

#[test]
fn walks_that_lead_nowhere_are_stopped() {
    let elsewhere = Server::start(|_| faults::page(&faults::record("stolen"), "null"));
    let link = format!("\"{}/records\"", elsewhere.url());
    let redirect = format!("{}/records", elsewhere.url());
    let mut token = 0;
    let cases = [
        case("next-is-itself", "PaginationLoop", |ask| faults::page(&faults::record("1"), &format!("\"{}\"", ask.target))),
        case("next-goes-round", "PaginationLoop", |ask| {
            let next = if ask.target.contains("offset=1") { "/records?offset=2" } else { "/records?offset=1" };
            faults::page(&faults::record(&ask.target), &format!("\"{next}\""))
        }),
        case("same-page-for-ever", "PaginationLoop", move |_| {
            token += 1;
            faults::page(&faults::record("1"), &format!("\"/records?offset={token}\""))
        }),
        case("next-off-origin", "CrossOriginNextLink", move |_| faults::page(&faults::record("1"), &link)),
        case("next-to-metadata", "CrossOriginNextLink", |_| {
            faults::page(&faults::record("1"), "\"http://169.254.169.254/latest/meta-data/\"")
        }),
        case("next-to-a-file", "CrossOriginNextLink", |_| faults::page(&faults::record("1"), "\"file:///etc/passwd\"")),
        case("redirects-off-origin", "RedirectRefused", move |_| Answer::status(302).header("Location", redirect.clone())),
        case("redirects-to-metadata", "RedirectRefused", |_| {
            Answer::status(307).header("Location", "http://169.254.169.254/latest/meta-data/")
        }),
        case("redirects-for-ever", "RedirectRefused", |ask| {
            Answer::status(302).header("Location", format!("{}&again=1", ask.target))
        }),
    ];
    drop(run(&cases));
    for case in &cases {
        assert!(case.provider.asked() < 100, "{}: noticed after {} requests", case.name, case.provider.asked());
    }
    assert_eq!(elsewhere.connections(), 0, "credentials and cursors stay with the origin");
}

#[test]
fn denied_addresses_are_never_connected_to() {
    // On Linux a connection to 0.0.0.0 arrives at loopback: a guard that failed would be seen here.
    let trap = Server::start(|_| faults::page(&faults::record("stolen"), "null"));
    let port = trap.address().port();
    let receiver = Receiver::start();
    let addresses = [
        ("unspecified", format!("http://0.0.0.0:{port}")),
        ("unspecified-six", format!("http://[::ffff:0.0.0.0]:{port}")),
        ("metadata", "http://169.254.169.254".to_owned()),
        ("metadata-decimal", "http://2852039166".to_owned()),
        ("metadata-in-six", "http://[::ffff:169.254.169.254]".to_owned()),
        ("metadata-nat64", "http://[64:ff9b::a9fe:a9fe]".to_owned()),
        ("private", "http://10.0.0.1".to_owned()),
        ("link-local", "http://[fe80::1]".to_owned()),
    ];
    let healthy = Provider::start();
    let mut documents: Vec<_> =
        addresses.iter().map(|(name, base)| Instance::new(name, base, &receiver.url(name)).basic_auth().yaml()).collect();
    // a callback is guarded like a provider
    let callback = format!("http://0.0.0.0:{port}/callback");
    documents.push(Instance::new("callback", &healthy.url(), &callback).basic_auth().earliest().yaml());
    let site = Site::new(&documents);
    for n in 0..6 {
        healthy.create(&format!("r{n}"));
    }
    let pollinator = site.start();
    for (name, _) in &addresses {
        pollinator.wait_reason(name, "EgressDenied");
    }
    pollinator.wait_for("callback", "the callback counts as down", |row| {
        row.tells("CallbackUnreachable") || row.tells("EgressDenied")
    });
    assert_eq!(trap.connections(), 0);
}

#[test]
fn loopback_can_be_denied_as_in_the_operator() {
    let provider = Provider::start();
    let receiver = Receiver::start();
    let site = Site::new(&[Instance::new("inner", &provider.url(), &receiver.url("inner")).basic_auth().yaml()]);
    let mut command = site.command();
    command.arg("--deny-loopback");
    let pollinator = site.spawn(command);
    pollinator.wait_reason("inner", "EgressDenied");
    assert_eq!(provider.connections(), 0);
}

/// Providers, token endpoints and callbacks alike.
#[test]
fn ports_that_are_not_allowed_are_never_connected_to() {
    let (provider, elsewhere) = (Provider::start(), Provider::start());
    let (receiver, hidden) = (Receiver::start(), Receiver::start());
    let instance = |name: &str, base: &str, callback: &Receiver| Instance::new(name, base, &callback.url(name)).basic_auth();
    let grant = "oauth2: {grant: ClientCredentials, tokenUrl: \"URL/token\", secretRef: {name: oauth}}";
    let oauth = Instance { auth: grant.replace("URL", &elsewhere.url()), ..instance("token", &provider.url(), &receiver) };
    let secret = manifest::secret("oauth", &[("client_id", "id"), ("client_secret", "secret")]);
    let site = Site::new(&[
        instance("allowed", &provider.url(), &receiver).yaml(),
        instance("provider", &elsewhere.url(), &receiver).yaml(),
        oauth.yaml(),
        secret,
        instance("callback", &provider.url(), &hidden).earliest().yaml(),
    ]);
    provider.create("one");
    let mut command = site.command();
    command.arg(format!("--allow-ports={},{}", provider.address().port(), receiver.address().port()));
    let pollinator = site.spawn(command);
    pollinator.wait_ready("allowed");
    for (name, field, port) in [
        ("provider", "baseUrl: ", elsewhere.address().port()),
        ("token", "oauth2.tokenUrl: ", elsewhere.address().port()),
        ("callback", "callback.url: ", hidden.address().port()),
    ] {
        let told = pollinator.wait_for(name, "denied", |row| row.tells("EgressDenied")).told("EgressDenied");
        let fitting =
            |told: &str| told.contains(field) && told.contains(&format!("port {port}")) && told.contains("--allow-ports");
        assert!(told.as_deref().is_some_and(fitting), "{name}: {told:?}");
    }
    assert_eq!((elsewhere.connections(), hidden.posts("callback").len()), (0, 0));
}
