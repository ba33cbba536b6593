//! The way from Open Connectors to here: `import`, then `plan` and `local` with what it wrote.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::Value;

use crate::rig::PATIENCE;
use crate::rig::oauth_server::{CLIENT_SECRET, OauthServer, Proof};
use crate::rig::page_body;
use crate::rig::pollinator::{Pollinator, Site, binary};
use crate::rig::provider::Provider;
use crate::rig::receiver::Receiver;

/// A folder with one file to import.
struct Desk {
    site: Site,
    input: PathBuf,
    out: PathBuf,
}

impl Desk {
    fn new(body: &Value) -> Self {
        let site = Site::new(&[]);
        let (input, out) = (site.path().join("instance.json"), site.manifests().join("imported"));
        fs::write(&input, body.to_string()).expect("a file");
        Self { site, input, out }
    }

    fn run(&self, arguments: &[&str]) -> Pollinator {
        let mut command = binary();
        command.args(arguments);
        let mut run = self.site.spawn(command);
        run.wait();
        run
    }

    fn import(&self, more: &[&str]) -> Pollinator {
        let input = self.input.to_str().expect("a path");
        self.run(&[&["import", input][..], more].concat())
    }

    fn import_to_folder(&self) -> Pollinator {
        self.import(&["--out", self.out.to_str().expect("a path"), "--namespace", "it"])
    }
}

#[test]
fn the_body_of_the_page_ends_in_events_of_the_old_format() {
    let oauth = OauthServer::start().proofs(Proof::Body, Proof::Basic);
    let provider = Provider::start().taking(oauth.takes());
    let receiver = Receiver::start();
    let desk = Desk::new(&page_body::of("it", &oauth.code(Some("https://mycoolapp.com"), None), &receiver.url("it")));

    let mut import = desk.import_to_folder();
    assert_eq!(import.wait().code(), Some(0), "{}", import.stderr());
    assert!(import.stderr().contains("allowInsecureHttp: true"), "{}", import.stderr());
    let mode = fs::metadata(desk.out.join("it.secret.yaml")).expect("a Secret").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!fs::read_to_string(desk.out.join("it.yaml")).expect("a manifest").contains(CLIENT_SECRET));

    // an entry of the same key whose provider is the double
    let catalog = desk.site.path().join("catalog");
    fs::create_dir(&catalog).expect("a folder");
    let entry = format!(
        "apiVersion: pollinator.dev/v1alpha1\nkind: Connector\nmetadata: {{name: infusionsoftrest}}\nspec:\n  baseUrl: \"{}\"\n  \
         auth: {{oauth2: {{grant: RefreshToken, tokenUrl: \"{}\", clientAuthentication: {{code: Body, refresh: Basic}}}}}}\n  \
         resources:\n  - name: appointments\n    hubPaths: [/hubs/crm/appointments]\n    url: /records\n    recordsPath: records\n    \
         query: {{since: \"${{since}}\"}}\n    pagination: {{nextLink: {{field: next}}}}\n",
        provider.url(),
        oauth.token_url()
    );
    fs::write(catalog.join("infusionsoftrest.yaml"), entry).expect("a file");
    let catalog = catalog.to_str().expect("a path");
    let mut planned = desk.run(&["plan", desk.out.to_str().expect("a path"), "--catalog", catalog]);
    assert_eq!(planned.wait().code(), Some(0), "{}", planned.stderr());

    let mut command = desk.site.command();
    command.args(["--catalog", catalog]);
    let local = desk.site.spawn(command);
    local.wait_ready("it");
    provider.create("first");
    let posts = receiver.try_wait_count("it", PATIENCE, 1).unwrap_or_else(|| panic!("no event\n{}", local.report("it")));
    let sent: Value = serde_json::from_slice(&posts[0].ask.body).expect("JSON");
    let (message, event) = (&sent["message"], &sent["message"]["events"][0]);
    assert_eq!(message["elementKey"], "infusionsoftrest");
    assert_eq!(
        [&event["objectType"], &event["objectId"], &event["eventType"], &message["raw"]["appointments"][0]["id"]],
        ["appointments", "first", "CREATED", "first"]
    );
}

#[test]
fn what_a_person_has_to_do_is_said_and_nothing_is_replaced() {
    let mut body = page_body::of("it", "<AUTHORIZATION_GRANT_CODE>", "https://mycoolapp.com/events");
    body["configuration"]["oauth.user.refresh_token"] = "********".into();
    let desk = Desk::new(&body);
    let mut printed = desk.import(&[]);
    assert_eq!(printed.wait().code(), Some(2), "{}", printed.stderr());
    assert!(
        printed.stdout().contains("kind: ConnectorInstance") && printed.stdout().contains("replace-me"),
        "{}",
        printed.stdout()
    );
    assert!(!printed.stdout().contains(CLIENT_SECRET), "values are for files");
    assert!(printed.stderr().contains("masked  configuration[\"oauth.user.refresh_token\"]"), "{}", printed.stderr());

    assert_eq!(desk.import_to_folder().wait().code(), Some(2));
    let report = fs::read_to_string(desk.out.join("import-report.txt")).expect("a report");
    assert!(report.contains("1 masked"), "{report}");
    let mut planned = desk.run(&["plan", desk.out.to_str().expect("a path")]);
    assert_eq!(planned.wait().code(), Some(0), "{}", planned.stderr());
    let mut again = desk.import_to_folder();
    assert_eq!(again.wait().code(), Some(1));
    assert!(again.stderr().contains("is there already, and 3 of 3 files would be replaced"), "{}", again.stderr());

    let mut missing = desk.run(&["import", "no-such-file.json"]);
    assert_eq!(missing.wait().code(), Some(2));
    assert!(missing.stderr().contains("no-such-file.json: "), "{}", missing.stderr());
}
