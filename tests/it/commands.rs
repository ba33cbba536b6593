//! The other commands, as a person calls them; and as a [`plugin`] of kubectl.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{SecondsFormat, TimeDelta, Utc};

use crate::rig::client;
use crate::rig::control_plane::Run;
use crate::rig::http::{Answer, Server};
use crate::rig::in_process::Polls;
use crate::rig::manifest::Instance;
use crate::rig::operator::metric;
use crate::rig::pollinator::{Pollinator, Site, binary};
use crate::rig::provider::Provider;
use crate::rig::receiver::Receiver;
use crate::rig::scene::Scene;
use crate::rig::{PATIENCE, is_installed, leave_out};

mod led;
mod led_through;
mod plugin;
mod terminal;

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
fn schema_prints_what_is_committed() {
    let site = Site::new(&[]);
    for kind in ["connectorinstance", "connector", "Connector"] {
        let mut printed = run(&site, &["schema", kind]);
        assert_eq!(code(&mut printed), Some(0), "{}", printed.stderr());
        let file = format!("{}/schemas/{}_v1alpha1.json", env!("CARGO_MANIFEST_DIR"), kind.to_lowercase());
        assert_eq!(printed.stdout(), fs::read_to_string(file).unwrap().trim_end(), "{kind}");
    }
}

/// Asks a script in a shell, as the shell does when a person presses the tab key.
#[test]
fn bash_completes_commands_options_and_values() {
    let site = Site::new(&[]);
    let script = run(&site, &["completions", "bash"]).stdout();
    let complete = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        let (word, before) = (words[words.len() - 1], words[words.len().saturating_sub(2)]);
        // no binary of this name has to be there
        let ask = format!(
            "{script}\nCOMP_WORDS=({line_words}) COMP_CWORD={at} COMP_LINE='{line}' COMP_POINT={point}\n\
             _pollinator pollinator '{word}' '{before}'\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
            line_words = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
            at = words.len() - 1,
            point = line.len(),
        );
        let run = Run::of(Command::new("bash").args(["--norc", "--noprofile"]), &ask);
        run.ok().split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(complete("pollinator op"), ["operator"]);
    assert_eq!(complete("pollinator schema con"), ["connectorinstance", "connector"]);
    assert_eq!(complete("pollinator operator --relist"), ["--relist-interval"]);
    assert_eq!(complete("pollinator local --log-format "), ["text", "json"]);
    assert!(complete("pollinator ").len() > 8);
}

#[test]
fn each_shell_gets_a_script_that_it_can_read() {
    let site = Site::new(&[]);
    for (shell, check) in [
        ("bash", Some(["bash", "-n"])),
        ("zsh", Some(["zsh", "-n"])),
        ("fish", Some(["fish", "--no-execute"])),
        ("elvish", None),
        ("powershell", None),
    ] {
        let mut printed = run(&site, &["completions", shell]);
        assert_eq!(code(&mut printed), Some(0), "{}", printed.stderr());
        let script = printed.stdout();
        for word in ["operator", "relist-interval", "receive"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
        let Some([program, option]) = check else { continue };
        if !is_installed(program) {
            leave_out(&format!("reading the completions of {program}"), "it is not installed");
            continue;
        }
        let file = site.path().join(shell);
        fs::write(&file, &script).unwrap();
        let read = Run::of(Command::new(program).arg(option).arg(&file), "");
        assert_eq!((read.code, read.stderr.as_str()), (Some(0), ""), "{shell}");
    }
}

#[test]
fn manual_pages_tell_every_command_and_option_and_have_no_fault() {
    let site = Site::new(&[]);
    let folder = site.path().join("made/man");
    let mut written = run(&site, &["man", folder.to_str().unwrap()]);
    assert_eq!(code(&mut written), Some(0), "{}", written.stderr());
    let mut names: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let commands = [
        "catalog",
        "catalog-list",
        "completions",
        "crds",
        "demo",
        "local",
        "man",
        "new",
        "operator",
        "plan",
        "receive",
        "record",
        "schema",
        "try",
        "verify",
    ];
    for command in commands {
        assert!(names.contains(&format!("pollinator-{command}.1")), "{names:?}");
    }
    let operator = fs::read_to_string(folder.join("pollinator-operator.1")).unwrap();
    assert!(operator.contains("relist") && operator.contains("POLLINATOR_RELIST_INTERVAL"), "{operator}");
    let mut printed = run(&site, &["man"]);
    assert_eq!(code(&mut printed), Some(0));
    assert_eq!(printed.stdout(), fs::read_to_string(folder.join("pollinator.1")).unwrap().trim_end());
    if !is_installed("groff") {
        leave_out("setting manual pages", "groff is not installed");
        return;
    }
    for name in names {
        let page = folder.join(&name);
        let set = Run::of(Command::new("groff").args(["-man", "-Tutf8", "-ww", "-z"]).arg(&page), "");
        assert_eq!((set.code, set.stderr.as_str()), (Some(0), ""), "{name}");
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
fn what_a_provider_or_manifest_says_cannot_play_with_the_terminal() {
    let provider = Provider::start();
    provider.misbehave(|_| Some(Answer::json(r#"{"records":[{"id":"a\u001b[2J\r\n\u202eb"}]}"#)));
    let scene = Scene::with(provider, |instance| {
        instance.resource("url: \"/records?x=\\u001b[31m\\u202e\"\nrecordsPath: records\nidField: id")
    });
    for command in ["try", "plan"] {
        let mut run = run(&scene.site, &[command, scene.site.manifests().to_str().unwrap()]);
        assert_eq!(code(&mut run), Some(0), "{}{}", run.stdout(), run.stderr());
        let printed = run.stdout() + &run.stderr();
        let hidden = |character: char| character.is_control() && character != '\n' || character == '\u{202e}';
        assert!(!printed.contains(hidden), "{printed:?}");
        assert!(command == "plan" || printed.contains("a\\u001b[2J\\u000d\\u000a\\u202eb"), "{printed:?}");
    }
}

#[test]
fn try_counts_what_the_first_poll_sends() {
    let server = Server::start(|_| Answer::json(r#"[{"id":1},{"id":2,"gone":true},{"id":3}]"#));
    let receiver = Receiver::start();
    let resource = "url: /list\npagination: {none: {}}\ndeletes: {flag: {field: gone}}";
    let instance = Instance::new("tried", &server.url(), &receiver.url("tried")).resource(resource);
    for (instance, says) in [(instance.clone().earliest(), "would deliver: 2 events"), (instance, "would deliver: 3 events")] {
        let site = Site::new(&[instance.yaml()]);
        let mut tried = run(&site, &["try", site.manifests().to_str().unwrap()]);
        assert_eq!(code(&mut tried), Some(0), "{}", tried.stdout());
        assert!(tried.stdout().contains(says), "{}", tried.stdout());
    }
}

#[test]
fn a_start_in_the_future_is_pointed_out_and_nothing_before_it_is_sent() {
    let date = |minutes| (Utc::now() + TimeDelta::minutes(minutes)).to_rfc3339_opts(SecondsFormat::Secs, true);
    let rows = Arc::new(Mutex::new(vec![date(-60)]));
    let shared = Arc::clone(&rows);
    let server = Server::start(move |_| {
        let rows = shared.lock().unwrap().clone();
        let rows: Vec<_> = rows.iter().enumerate().map(|(id, at)| format!(r#"{{"id":{id},"at":"{at}"}}"#)).collect();
        Answer::json(format!("[{}]", rows.join(",")))
    });
    let receiver = Receiver::start();
    let resource = "url: /list\npagination: {none: {}}\ndatesConfiguration: {updatedDateField: at}";
    let instance = Instance::new("it", &server.url(), &receiver.url("it")).resource(resource);
    let document = instance.yaml().replace("startFrom: Now", &format!("startFrom: \"{}\"", date(60)));
    let site = Site::new(std::slice::from_ref(&document));
    for command in ["plan", "try"] {
        let mut run = run(&site, &[command, site.manifests().to_str().unwrap()]);
        assert_eq!(code(&mut run), Some(0), "{}", run.stderr());
        let printed = run.stdout() + &run.stderr();
        assert!(printed.contains("polling.startFrom: the time is in the future"), "{command}: {printed}");
        assert!(run.stdout().contains("records that last changed before startFrom are not known"), "{command}: {printed}");
    }
    let polls = Polls::new(&[document]);
    for _ in 0..2 {
        let row = polls.poll();
        assert!(row.ready == "True" && row.tells("StartsLater"), "{row:?}");
        rows.lock().unwrap().push(date(-30));
    }
    assert_eq!(receiver.count(), 0);
    // the time has come, by the provider's clock
    rows.lock().unwrap().push(date(61));
    polls.poll();
    assert_eq!(receiver.delivered("it").len(), 1);
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

/// Every poll of this list is one request, and every response has seven records.
#[test]
fn metrics_count_polls_and_records_as_the_provider_does() {
    const ROWS: usize = 7;
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let rows: Vec<_> = (0..ROWS).map(|id| format!(r#"{{"id":{id}}}"#)).collect();
    let list = format!("[{}]", rows.join(","));
    let provider = Server::start(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        Answer::json(list.clone())
    });
    let receiver = Receiver::start();
    let instance = Instance::new("counted", &provider.url(), &receiver.url("counted")).resource("url: /rows").earliest();
    let site = Site::new(&[instance.yaml()]);
    let mut command = site.command();
    command.args(["--listen", "127.0.0.1:0"]);
    let pollinator = site.spawn(command);
    pollinator.wait_for("counted", "all delivered", |row| row.delivered == 7);
    let sum = |name: &str, outcomes: &[&str]| -> f64 {
        outcomes.iter().map(|outcome| metric(&pollinator, &format!("{name}{{outcome=\"{outcome}\"}}"))).sum()
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let before = asked.load(Ordering::SeqCst);
        let polls = sum("pollinator_polls_total", &["changed", "unchanged"]);
        let records = metric(&pollinator, "pollinator_records_read_total");
        // a request is counted when it arrives, and a poll when it has ended
        let expected = |times: usize| f64::from(u32::try_from(before * times).expect("a few"));
        let is_exact = |counted: f64, times: usize| (counted - expected(times)).abs() < 0.5;
        if before > 1 && before == asked.load(Ordering::SeqCst) && is_exact(polls, 1) && is_exact(records, ROWS) {
            break;
        }
        assert!(Instant::now() < deadline, "{before} requests, {polls} polls, {records} records");
        std::thread::park_timeout(Duration::from_millis(50));
    }
    assert!(sum("pollinator_polls_total", &["blocked", "failed", "throttled"]) < 0.5);
    assert!(sum("pollinator_commits_total", &["conflict", "failed"]) < 0.5);
    assert!(sum("pollinator_commits_total", &["stored"]) > 0.5, "what was delivered is stored");
}

/// A provider that asks to wait for an hour leaves nothing to be counted: the age of the last success is looked up at each scrape.
#[test]
fn metrics_tell_that_a_resource_is_stale_while_its_provider_asks_to_wait() {
    let (provider, receiver) = (Provider::start(), Receiver::start());
    let site = Site::new(&[Instance::new("waiting", &provider.url(), &receiver.url("waiting")).basic_auth().yaml()]);
    let mut command = site.command();
    command.args(["--listen", "127.0.0.1:0"]);
    let pollinator = site.spawn(command);
    pollinator.wait_ready("waiting");
    let last_success = || metric(&pollinator, "pollinator_last_successful_poll_timestamp_seconds");
    let (started, first) = (metric(&pollinator, "process_start_time_seconds"), last_success());
    assert!(first >= started - 2.0 && first <= started + PATIENCE.as_secs_f64(), "{first} {started}");
    assert!(metric(&pollinator, "process_resident_memory_bytes") > 1e6);
    provider.misbehave(|_| Some(Answer::status(429).header("Retry-After", "3600")));
    wait_metric(&pollinator, "pollinator_polls_total{outcome=\"throttled\"}");
    let last = last_success();
    assert!(last >= first, "{last} {first}");
    wait_metric(&pollinator, "pollinator_stale_resources");
    assert_eq!(last_success().total_cmp(&last), std::cmp::Ordering::Equal);
    assert_eq!(metric(&pollinator, "pollinator_polls_total{outcome=\"failed\"}").total_cmp(&0.0), std::cmp::Ordering::Equal);
}

/// Waits until it is above 0.
fn wait_metric(process: &Pollinator, series: &str) {
    let deadline = Instant::now() + PATIENCE;
    while metric(process, series) <= 0.0 {
        assert!(Instant::now() < deadline, "{series} stays at 0\n{}", process.stderr());
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

#[test]
fn entries_of_ones_own_are_listed_begun_and_imported_like_those_that_are_built_in() {
    let site = Site::new(&[]);
    let catalog = site.path().join("catalog");
    fs::create_dir(&catalog).unwrap();
    let entry = "\
# ours
apiVersion: pollinator.dev/v1alpha1
kind: Connector
metadata: {name: intranet}
spec:
  title: Our intranet
  baseUrl: https://api.example.com
  resources:
  - {name: things, hubPaths: [/hubs/general/things], url: /v1/things, recordsPath: items, idField: id}
";
    fs::write(catalog.join("intranet.yaml"), entry).unwrap();
    let body = r#"{"element": {"key": "intranet"}, "name": "Ours", "configuration": {"event.notification.enabled": true,
        "event.notification.callback.url": "https://h.example/in",
        "event.poller.configuration": {"things": {"url": "/hubs/general/things"}}}}"#;
    fs::write(site.path().join("body.json"), body).unwrap();
    let body = site.path().join("body.json").display().to_string();
    let own = catalog.display().to_string();
    let with = |arguments: &[&str]| run(&site, &[arguments, &["--catalog", &own]].concat());

    let mut listed = with(&["catalog", "list"]);
    assert_eq!(code(&mut listed), Some(0), "{}", listed.stderr());
    let line = |key: &str| listed.stdout().lines().find(|line| line.starts_with(&format!("{key} "))).map(str::to_owned);
    assert!(line("intranet").is_some_and(|line| line.ends_with("Our intranet: things")) && line("github").is_some());
    assert_eq!(with(&["catalog", "show", "intranet"]).stdout(), entry.trim_end());
    assert!(
        with(&["catalog", "explain", "intranet", "things"]).stdout().contains("GET /v1/things under https://api.example.com")
    );
    let begun = with(&["new", "intranet"]);
    assert!(
        begun.stdout().contains("connector: intranet") && begun.stdout().contains("- name: things"),
        "{}",
        begun.report("")
    );
    let imported = with(&["import", &body]);
    assert!(imported.stdout().contains("connector: intranet"), "{}", imported.report(""));
    assert!(!imported.stdout().contains("kind: Connector\n"), "no entry has to be made up: {}", imported.stdout());
    assert!(run(&site, &["import", &body]).stdout().contains("kind: Connector\n"), "and without it one has");

    // without the folder there is none; one that cannot be used is named
    for arguments in [&["catalog", "show", "intranet"][..], &["new", "intranet"]] {
        let mut refused = run(&site, arguments);
        assert_eq!(code(&mut refused), Some(2));
        assert!(refused.stderr().contains("the catalog has no entry intranet"), "{}", refused.stderr());
    }
    fs::write(catalog.join("broken.yaml"), "kind: Connector\n").unwrap();
    for arguments in [&["catalog", "list"][..], &["new", "github"], &["import", &body]] {
        let mut refused = with(arguments);
        assert_eq!((code(&mut refused), refused.stdout().as_str()), (Some(2), ""));
        assert!(refused.stderr().contains("broken.yaml"), "{}", refused.stderr());
    }
}
