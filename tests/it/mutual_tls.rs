//! Client certificates: a provider, and a token endpoint, that demand one. And authorities of one's own.

use crate::rig::control_plane::Run;
use crate::rig::manifest::{self, Instance};
use crate::rig::oauth_server::{CLIENT_ID, CLIENT_SECRET, OauthServer};
use crate::rig::pollinator::{Pollinator, Site, binary};
use crate::rig::provider::Provider;
use crate::rig::receiver::Receiver;
use crate::rig::tls::{Authority, TlsFront};
use crate::rig::{self, provider};

const TLS: &str = "tls: {clientCertificateRef: {name: client}}";

/// The Secret of the client certificate.
fn client(certificate: &str, key: &str, servers: &Authority) -> String {
    manifest::secret("client", &[("tls.crt", certificate), ("tls.key", key), ("ca.crt", &servers.pem)])
}

struct Scene {
    provider: Provider,
    receiver: Receiver,
    servers: Authority,
    clients: Authority,
    front: TlsFront,
    site: Site,
}

impl Scene {
    fn new(provider: Provider) -> Self {
        let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
        let front = TlsFront::start(provider.address(), &servers, &clients);
        let scene = Self { provider, receiver: Receiver::start(), servers, clients, front, site: Site::new(&[]) };
        scene.declare(&scene.instance());
        scene
    }

    fn instance(&self) -> Instance {
        Instance::new("it", &self.front.url(), &self.receiver.url("it")).basic_auth().spec(TLS)
    }

    fn declare(&self, instance: &Instance) {
        manifest::write(&self.site.manifests(), "instances.yaml", &[instance.yaml()]);
    }

    fn secret(&self, (certificate, key): (&str, &str)) {
        manifest::write(&self.site.manifests(), "client.yaml", &[client(certificate, key, &self.servers)]);
    }

    fn assert_delivered(&self, pollinator: &Pollinator) {
        let verdict = rig::settle(&self.receiver, "it", || self.provider.truth(), provider::version);
        rig::assert_perfect(&verdict, pollinator, "it");
    }
}

#[test]
fn a_provider_that_demands_a_certificate_is_polled_and_the_certificate_may_rotate() {
    let scene = Scene::new(Provider::start());
    let (certificate, key) = scene.clients.client(2999);
    scene.secret((&certificate, &key));
    let pollinator = scene.site.start();
    pollinator.wait_ready("it");
    scene.provider.create("one");
    scene.assert_delivered(&pollinator);

    // the provider takes certificates of another authority from now on, then ours is renewed
    let others = Authority::new("others");
    scene.front.demand(&scene.servers, &others);
    scene.provider.close_connections();
    let told = pollinator.wait_reason("it", "TlsError");
    assert!(told.contains("client certificate") && told.contains("tls.clientCertificateRef"), "{told}");
    let (certificate, key) = others.client(2999);
    scene.secret((&certificate, &key));
    pollinator.wait_ready("it");
    scene.provider.create("two");
    scene.assert_delivered(&pollinator);
    let secret = key.lines().nth(1).unwrap();
    assert!(!pollinator.stderr().contains(secret) && !pollinator.stdout().contains(secret));
}

#[test]
fn a_certificate_that_cannot_be_used_is_named_and_nothing_is_asked() {
    let scene = Scene::new(Provider::start());
    let pollinator = scene.site.start();
    assert!(pollinator.wait_reason("it", "SecretNotFound").contains("client"));
    let ((certificate, key), (_, other)) = (scene.clients.client(2999), scene.clients.client(2999));
    scene.secret((&certificate, &other));
    let told = pollinator.wait_reason("it", "SecretInvalid");
    assert!(told.contains("spec.tls.clientCertificateRef") && told.contains("belongs to another certificate"), "{told}");
    let (old, old_key) = scene.clients.client(2020);
    scene.secret((&old, &old_key));
    pollinator.wait_for("it", "expired", |row| row.told("SecretInvalid").is_some_and(|told| told.contains("has expired")));
    manifest::write(&scene.site.manifests(), "client.yaml", &[manifest::secret("client", &[("tls.crt", &certificate)])]);
    assert!(pollinator.wait_reason("it", "SecretKeyMissing").contains("tls.key"));
    assert_eq!(scene.provider.asked(), 0);
    scene.secret((&certificate, &key));
    pollinator.wait_ready("it");
}

#[test]
fn the_token_endpoint_is_shown_it_too() {
    let oauth = OauthServer::start();
    let scene = Scene::new(Provider::start().taking(oauth.takes()));
    let endpoint = TlsFront::start(oauth.address(), &scene.servers, &scene.clients);
    let auth =
        format!("oauth2: {{grant: ClientCredentials, tokenUrl: \"{}/token\", secretRef: {{name: oauth}}}}", endpoint.url());
    scene.declare(&Instance { auth, ..scene.instance() });
    let secret = manifest::secret("oauth", &[("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)]);
    manifest::write(&scene.site.manifests(), "oauth.yaml", &[secret]);
    let (certificate, key) = scene.clients.client(2999);
    scene.secret((&certificate, &key));
    let pollinator = scene.site.start();
    pollinator.wait_ready("it");
    scene.provider.create("one");
    scene.assert_delivered(&pollinator);
}

/// As the chart mounts a bundle: a folder in addition to the file of the image, with links as kubelets make them.
#[test]
fn authorities_in_a_folder_are_trusted_in_addition_to_those_in_a_file() {
    let (provider, receiver) = (Provider::start(), Receiver::start());
    let (public, private, strange) = (Authority::new("public"), Authority::new("private"), Authority::new("strange"));
    let clients = Authority::new("clients");
    let site = Site::new(&[]);
    let folder = tempfile::tempdir().unwrap();
    let (file, mounted) = (folder.path().join("image.crt"), folder.path().join("ca"));
    std::fs::write(&file, &public.pem).unwrap();
    std::fs::create_dir_all(mounted.join("..2026")).unwrap();
    std::fs::write(mounted.join("..2026/ca.crt"), &private.pem).unwrap();
    std::os::unix::fs::symlink("..2026", mounted.join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/ca.crt", mounted.join("ca.crt")).unwrap();

    let front = |servers: &Authority| TlsFront::start(provider.address(), servers, &clients);
    let fronts = [("public", front(&public)), ("private", front(&private)), ("strange", front(&strange))];
    let instance =
        |(name, front): &(&str, TlsFront)| Instance::new(name, &front.url(), &receiver.url(name)).basic_auth().spec(TLS).yaml();
    let (certificate, key) = clients.client(2999);
    let secret = manifest::secret("client", &[("tls.crt", &certificate), ("tls.key", &key)]);
    manifest::write(&site.manifests(), "instances.yaml", &[fronts.iter().map(instance).collect(), vec![secret]].concat());
    // callbacks are verified like providers
    let [_, (_, known), (_, strange)] = &fronts;
    let by_name = known.url().replace("127.0.0.1", "localhost");
    let callbacks = [("callback-strange", strange.url()), ("callback-other-name", by_name)];
    let yaml = |(name, url): &(&str, String)| Instance::new(name, &provider.url(), url).basic_auth().yaml();
    manifest::write(&site.manifests(), "callbacks.yaml", &callbacks.iter().map(yaml).collect::<Vec<_>>());
    let mut command = site.command();
    command.env("SSL_CERT_FILE", &file).env("SSL_CERT_DIR", &mounted);
    let pollinator = site.spawn(command);
    pollinator.wait_ready("public");
    pollinator.wait_ready("private");
    assert!(pollinator.wait_reason("strange", "TlsError").contains("SSL_CERT_FILE"));
    for (name, _) in &callbacks {
        pollinator.wait_ready(name);
    }
    provider.create("one");
    for (name, fix) in
        [("callback-strange", "SSL_CERT_FILE"), ("callback-other-name", "use a host name that the certificate covers")]
    {
        let told = pollinator.wait_for(name, "told", |row| row.tells("TlsError")).told("TlsError");
        assert!(told.as_deref().is_some_and(|told| told.contains("callback.url: ") && told.contains(fix)), "{told:?}");
        assert!(receiver.posts(name).is_empty());
    }
}

/// A server of a private authority: trusted by the instances of one namespace that name its certificate, and by no other.
const BUNDLE: &str = "tls: {caBundleRef: {name: corporate, key: bundle.pem}}";

fn bundle(authorities: &[&Authority]) -> String {
    let pems: String = authorities.iter().map(|authority| authority.pem.as_str()).collect();
    manifest::secret("corporate", &[("bundle.pem", &pems)])
}

/// Puts documents into another namespace.
fn elsewhere(yaml: &str) -> String {
    yaml.replace("namespace: it", "namespace: other")
}

#[test]
fn private_authorities_are_trusted_by_the_instances_that_name_them_and_may_rotate() {
    let (provider, receiver) = (Provider::start(), Receiver::start());
    let (corporate, next, strange) = (Authority::new("corporate"), Authority::new("next"), Authority::new("strange"));
    let front = TlsFront::open(provider.address(), &corporate);
    let site = Site::new(&[]);
    let declare = |name: &str| Instance::new(name, &front.url(), &receiver.url(name)).basic_auth();
    manifest::write(
        &site.manifests(),
        "instances.yaml",
        &[
            declare("trusting").spec(BUNDLE).yaml(),
            declare("not-asking").yaml(),
            elsewhere(&declare("other").spec(BUNDLE).yaml()),
            elsewhere(&manifest::login()),
        ],
    );
    let secrets = |here: &[&Authority]| {
        manifest::write(&site.manifests(), "bundles.yaml", &[bundle(here), elsewhere(&bundle(&[&strange]))]);
    };
    secrets(&[&corporate]);
    let pollinator = site.start();
    pollinator.wait_ready("trusting");
    for name in ["not-asking", "other"] {
        let told = pollinator.wait_reason(name, "TlsError");
        assert!(told.contains("baseUrl: ") && told.contains("name its authority in tls.caBundleRef"), "{told}");
    }
    provider.create("one");
    let delivered = || {
        let verdict = rig::settle(&receiver, "trusting", || provider.truth(), provider::version);
        rig::assert_perfect(&verdict, &pollinator, "trusting");
    };
    delivered();

    // the server moves to another authority, and the bundle follows
    front.serve(&next);
    provider.close_connections();
    assert!(pollinator.wait_reason("trusting", "TlsError").contains("tls.caBundleRef"));
    secrets(&[&corporate, &next]);
    pollinator.wait_ready("trusting");
    provider.create("two");
    delivered();
    assert!(receiver.posts("other").is_empty() && receiver.posts("not-asking").is_empty());
    manifest::write(&site.manifests(), "bundles.yaml", &[manifest::secret("corporate", &[("bundle.pem", "no certificate")])]);
    let told = pollinator.wait_reason("trusting", "SecretInvalid");
    assert!(told.contains("spec.tls.caBundleRef: key bundle.pem of Secret corporate is not a certificate"), "{told}");
}

#[test]
fn callbacks_and_token_endpoints_of_a_private_authority_are_trusted_too() {
    let (oauth, receiver) = (OauthServer::start(), Receiver::start());
    let provider = Provider::start().taking(oauth.takes());
    let (corporate, clients) = (Authority::new("corporate"), Authority::new("clients"));
    let endpoint = TlsFront::open(oauth.address(), &corporate);
    let callback = TlsFront::start(receiver.address(), &corporate, &clients);
    let site = Site::new(&[]);
    let auth =
        format!("oauth2: {{grant: ClientCredentials, tokenUrl: \"{}/token\", secretRef: {{name: oauth}}}}", endpoint.url());
    let declare = |name: &str| {
        let url = receiver.url(name).replace(&format!("http://{}", receiver.address()), &callback.url());
        Instance { auth: auth.clone(), ..Instance::new(name, &provider.url(), &url).earliest() }
    };
    let both = "tls: {clientCertificateRef: {name: client}, caBundleRef: {name: corporate, key: bundle.pem}}";
    let (certificate, key) = clients.client(2999);
    manifest::write(
        &site.manifests(),
        "instances.yaml",
        &[
            declare("both").spec(BUNDLE).callback(both).yaml(),
            declare("no-callback").spec(BUNDLE).yaml(),
            declare("no-certificate").spec(BUNDLE).callback(BUNDLE).yaml(),
            declare("no-endpoint").callback(both).yaml(),
            bundle(&[&corporate]),
            manifest::secret("client", &[("tls.crt", &certificate), ("tls.key", &key)]),
            manifest::secret("oauth", &[("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)]),
        ],
    );
    provider.create("one");
    let pollinator = site.start();
    pollinator.wait_ready("both");
    let verdict = rig::settle(&receiver, "both", || provider.truth(), provider::version);
    rig::assert_perfect(&verdict, &pollinator, "both");
    for (name, field, fix) in [
        ("no-callback", "callback.url: ", "name its authority in callback.tls.caBundleRef"),
        ("no-certificate", "callback.url: ", "name one that it accepts in callback.tls.clientCertificateRef"),
        ("no-endpoint", "oauth2.tokenUrl: ", "name its authority in tls.caBundleRef"),
    ] {
        let told = pollinator.wait_for(name, "told", |row| row.tells("TlsError")).told("TlsError");
        assert!(told.as_deref().is_some_and(|told| told.contains(field) && told.contains(fix)), "{name}: {told:?}");
        assert!(receiver.posts(name).is_empty(), "{name}");
    }
}

/// `try` asks as a poll does.
#[test]
fn a_trial_shows_the_certificate_and_trusts_the_authorities() {
    let scene = Scene::new(Provider::start());
    let (certificate, key) = scene.clients.client(2999);
    scene.secret((&certificate, &key));
    scene.provider.create("one");
    let tried = || {
        let mut command = binary();
        command.args(["try", "--since", "2000-01-01T00:00:00Z"]).arg(scene.site.manifests());
        Run::of(&mut command, "")
    };
    let run = tried();
    assert_eq!(run.code, Some(0), "{run:?}");
    scene.declare(&scene.instance().spec(""));
    let run = tried();
    assert!(run.code == Some(1) && format!("{run:?}").contains("TlsError"), "{run:?}");
}
