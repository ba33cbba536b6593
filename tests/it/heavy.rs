//! Lists that cost much CPU time: whoever reads them delays neither the polls of others nor the answers.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::rig;
use crate::rig::client;
use crate::rig::http::{Answer, Body, Server};
use crate::rig::manifest::Instance;
use crate::rig::pollinator::{Pollinator, Site};
use crate::rig::provider::{self, Provider};
use crate::rig::receiver::Receiver;

const ATTACKERS: usize = 6;
/// Records of one list: some seconds of CPU time in a debug build.
const RECORDS: usize = 150_000;
/// Polls of the honest instance that nobody attacks.
const POLLS: usize = 4;

/// A list of many small records, in some 400 kB.
fn packed_list() -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let record = |number: usize| format!("{{\"id\":\"{number}\",\"modified\":\"2026-01-01T00:00:00.000Z\"}}");
    let records: Vec<_> = (0..RECORDS).map(record).collect();
    write!(encoder, "{{\"records\":[{}],\"next\":null}}", records.join(",")).unwrap();
    encoder.finish().unwrap()
}

/// `local` with probes, and where they are answered.
fn start(site: &Site) -> (Pollinator, String) {
    let mut command = site.command();
    command.args(["--listen", "127.0.0.1:0", "--log-format", "json"]);
    let pollinator = site.spawn(command);
    let line = pollinator.wait_stderr("/metrics");
    let start = line.find("127.0.0.1:").unwrap_or_else(|| panic!("no address in {line}"));
    let address: String = line[start..].chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect();
    (pollinator, format!("http://{address}/livez"))
}

fn probe(url: &str) -> Duration {
    let asked = Instant::now();
    client::must("GET", url, None);
    asked.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Two processes side by side on the same busy machine, one of them with attackers: what the other one does is the measure.
#[test]
fn lists_that_cost_much_cpu_time_delay_no_poll_of_others_and_no_probe() {
    let receiver = Receiver::start();
    let packed = Arc::new(packed_list());
    let costly = Server::start(move |_| {
        let head = Answer::status(200).header("Content-Type", "application/json").header("Content-Encoding", "gzip");
        head.body(Body::Whole(packed.to_vec()))
    });
    let (beside, alone) = (Provider::start(), Provider::start());
    let honest =
        |name: &str, provider: &Provider| Instance::new(name, &provider.url(), &receiver.url(name)).basic_auth().yaml();
    let mut documents = vec![honest("attacked", &beside)];
    documents.extend((0..ATTACKERS).map(|number| {
        let name = format!("heavy-{number}");
        let heavy = Instance::new(&name, &costly.url(), &receiver.url(&name)).yaml();
        heavy.replace("namespace: it", "namespace: heavy")
    }));
    let (site, quiet_site) = (Site::new(&documents), Site::new(&[honest("alone", &alone)]));
    let (pollinator, probed) = start(&site);
    let (quiet, quiet_probed) = start(&quiet_site);
    pollinator.wait_ready("attacked");
    quiet.wait_ready("alone");

    let (before, quiet_before) = (beside.asked(), alone.asked());
    let (mut answers, mut usual_answers) = (Vec::new(), Vec::new());
    let mut round = 0;
    while alone.asked() < quiet_before + POLLS {
        answers.push(probe(&probed));
        usual_answers.push(probe(&quiet_probed));
        beside.create(&format!("steady-{round}"));
        round += 1;
        alone.try_wait_asked(alone.asked() + 1, Duration::from_millis(250));
    }
    let polls = beside.asked() - before;
    assert!(polls + 1 >= POLLS, "{polls} polls beside attackers, {POLLS} without any");
    let (usual, quiet_usual) = (median(answers.clone()), median(usual_answers.clone()));
    let slowest = answers.iter().max().unwrap();
    println!(
        "probes: {usual:?}, at most {slowest:?}; without attackers {quiet_usual:?}, at most {:?}",
        usual_answers.iter().max()
    );
    assert!(usual < quiet_usual * 20 + Duration::from_millis(200), "{usual:?}, without attackers {quiet_usual:?}");
    assert!(*slowest < *usual_answers.iter().max().unwrap() * 5 + Duration::from_secs(4), "{slowest:?} of {answers:?}");

    let message = pollinator.wait_for("heavy-0", "it is throttled", |row| row.tells("Throttled")).told("Throttled").unwrap();
    assert!(message.contains(" % of a CPU core"), "{message}");
    assert!(pollinator.rows("attacked").iter().all(|row| !row.tells("Throttled")));
    let verdict = rig::settle(&receiver, "attacked", || beside.truth(), provider::version);
    rig::assert_perfect(&verdict, &pollinator, "attacked");
}
