//! The other commands, as a person calls them.

use crate::rig::client;
use crate::rig::manifest::Instance;
use crate::rig::pollinator::{Pollinator, Site, binary};
use crate::rig::provider::Provider;
use crate::rig::receiver::Receiver;

fn run(site: &Site, arguments: &[&str]) -> Pollinator {
    let mut command = binary();
    command.args(arguments);
    let mut run = site.spawn(command);
    run.wait();
    run
}

fn code(run: &mut Pollinator) -> Option<i32> {
    run.wait().code()
}

#[test]
fn crds_prints_both_definitions() {
    let site = Site::new(&[]);
    let mut printed = run(&site, &["crds"]);
    assert_eq!(code(&mut printed), Some(0));
    let text = printed.stdout();
    for name in ["connectorinstances.pollinator.dev", "connectors.pollinator.dev"] {
        assert!(text.contains(name), "{name}");
    }
}

#[test]
fn plan_prints_what_would_be_asked_and_asks_nothing() {
    let (provider, receiver) = (Provider::start(), Receiver::start());
    let site = Site::new(&[Instance::new("planned", &provider.url(), &receiver.url("planned")).basic_auth().yaml()]);
    let mut planned = run(&site, &["plan", site.manifests().to_str().unwrap()]);
    assert_eq!(code(&mut planned), Some(0), "{}", planned.stderr());
    assert!(planned.stdout().contains("planned") && planned.stdout().contains("/records"), "{}", planned.stdout());
    assert_eq!((provider.connections(), receiver.count()), (0, 0));
}

#[test]
fn try_shows_records_and_proves_the_filter() {
    let (provider, receiver) = (Provider::start(), Receiver::start());
    provider.create("first");
    let site = Site::new(&[Instance::new("tried", &provider.url(), &receiver.url("tried")).basic_auth().yaml()]);
    let mut tried = run(&site, &["try", site.manifests().to_str().unwrap()]);
    assert_eq!(code(&mut tried), Some(0), "{}\n{}", tried.stdout(), tried.stderr());
    assert!(tried.stdout().contains("first"), "{}", tried.stdout());
    assert!(tried.stdout().contains("filter") && tried.stdout().contains("works"), "{}", tried.stdout());
    assert_eq!(receiver.count(), 0, "a trial delivers nothing");
    assert!(!site.state().exists(), "and saves nothing");
}

#[test]
fn try_names_what_is_wrong() {
    let (provider, receiver) = (Provider::start(), Receiver::start());
    let instance = Instance::new("tried", &provider.url(), &receiver.url("tried")).basic_auth();
    let wrong = instance.resource("url: /records\nquery: {since: \"${since}\", limit: \"5\"}\nrecordsPath: records");
    let site = Site::new(&[wrong.yaml()]);
    let mut tried = run(&site, &["try", site.manifests().to_str().unwrap()]);
    assert_eq!(code(&mut tried), Some(1));
    assert!(tried.stdout().contains("UnexpectedStatus") || tried.stdout().contains("400"), "{}", tried.stdout());
}

#[test]
fn manifests_that_an_api_server_would_refuse_are_refused() {
    let good = Instance::new("judged", "https://api.example.com", "https://receiver.example.com/events").yaml();
    for (change, field) in [
        (good.replace("interval: 5s", "interval: 4s"), "interval"),
        (good.replace("interval: 5s", "interval: often"), "interval"),
        (good.replace("recordsPath:", "recordPath:"), "recordPath"),
        (good.replace("  baseUrl: ", "  # "), "baseUrl"),
        (
            good.replace("https://receiver", "http://receiver").replace("allowInsecureHttp: true", "allowInsecureHttp: false"),
            "allowInsecureHttp",
        ),
        (good.replace("${since}", "${sinse}"), "sinse"),
        (format!("{good}  - [unclosed"), "yaml"),
    ] {
        assert_ne!(change, good, "{field}");
        let site = Site::new(&[change]);
        let mut planned = run(&site, &["plan", site.manifests().to_str().unwrap()]);
        assert!(matches!(code(&mut planned), Some(1 | 2)), "{field}: {}", planned.stdout());
        assert!(planned.stderr().contains(field), "{field}: {}", planned.stderr());
    }
}

#[test]
fn local_prints_a_table_for_people() {
    let (provider, receiver) = (Provider::start(), Receiver::start());
    let site = Site::new(&[Instance::new("shown", &provider.url(), &receiver.url("shown")).basic_auth().yaml()]);
    let mut command = binary();
    command.arg("local").arg(site.manifests()).arg("--state").arg(site.state()).arg("--once");
    let mut shown = site.spawn(command);
    assert_eq!(code(&mut shown), Some(0), "{}", shown.stderr());
    let text = shown.stdout();
    let heading: Vec<_> = text.lines().next().unwrap_or_default().split_whitespace().collect();
    assert_eq!(heading, ["NAME", "READY", "REASON", "DELIVERED", "PARKED", "LAST-CHANGE"]);
    assert!(text.lines().last().unwrap().contains("True"), "{text}");
}

#[test]
fn metrics_count_what_the_receiver_got() {
    let (provider, receiver) = (Provider::start(), Receiver::start());
    let site = Site::new(&[Instance::new("counted", &provider.url(), &receiver.url("counted")).basic_auth().yaml()]);
    let mut command = site.command();
    command.args(["--listen", "127.0.0.1:0", "--log-format", "json"]);
    let pollinator = site.spawn(command);
    pollinator.wait_ready("counted");
    let line = pollinator.wait_stderr("/metrics");
    let start = line.find("127.0.0.1:").unwrap_or_else(|| panic!("no address in {line}"));
    let address: String = line[start..].chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect();
    for path in ["livez", "readyz"] {
        client::must("GET", &format!("http://{address}/{path}"), None);
    }
    provider.create_all((0..40).map(|n| format!("r-{n}")));
    pollinator.wait_for("counted", "all delivered", |row| row.delivered == 40);
    let metrics = client::must("GET", &format!("http://{address}/metrics"), None);
    let delivered = |kind: &str| {
        let name = format!("pollinator_events_total{{kind=\"{kind}\",outcome=\"accepted\"}}");
        metrics.lines().find_map(|line| line.strip_prefix(&name)).map(|count| count.trim().to_owned())
    };
    assert_eq!(delivered("created").as_deref(), Some("40"), "{metrics}");
    assert_eq!(receiver.count(), 40);
}
