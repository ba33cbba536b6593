//! A real OAuth 2.0 server (oidc-provider) as a child process, and what it says that it did.
//!
//! It rotates refresh tokens strictly: a spent one that comes again is refused, and with it all that the consent gave. So its own log
//! is the oracle for how tokens were used.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use serde::Deserialize;

use super::http::Ask;
use super::log::Log;
use super::real_server::Package;
use super::{PATIENCE, canary, client, free_port, manifest, turns};

const PACKAGE: Package = Package { folder: "oauth", need: "Node 20 and npm" };

/// Where it sends people back to, whatever the port.
pub const CALLBACK: &str = "/connect/callback";

/// The server on a free loopback port. Dropped, it is ended.
pub struct OAuthServer {
    child: Child,
    base: String,
    told: Log<Told>,
}

/// One line of its log.
#[derive(Clone, Debug, Deserialize)]
pub struct Told {
    /// `issued`, `refused`, `consumed`, `revoked`, `authorized`, `denied`, `defect`.
    pub event: String,
    #[serde(default)]
    pub client: Option<String>,
    /// `grant_type` of the request.
    #[serde(default)]
    pub grant: Option<String>,
    #[serde(default)]
    access: Option<String>,
    #[serde(default)]
    refresh: Option<String>,
    #[serde(default)]
    pub error: Option<String>,
    #[serde(default)]
    pub detail: Option<String>,
}

impl Told {
    fn is_reuse(&self) -> bool {
        self.event == "refused" && self.detail.as_deref().is_some_and(|detail| detail.contains("already"))
    }
}

impl OAuthServer {
    /// With access tokens that live for five seconds. `None`: it cannot be had here, which one loud line says.
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// The same with settings in the environment: `ACCESS_TOKEN_SECONDS`, `ROTATE=never`, `CLIENT_JWKS`.
    pub fn start_with(settings: &[(&str, &str)]) -> Option<Self> {
        turns::take();
        if !PACKAGE.install() {
            return None;
        }
        for _ in 0..3 {
            if let Some(server) = Self::try_start(settings) {
                return Some(server);
            }
        }
        panic!("the OAuth server is installed and does not start: see {}", PACKAGE.log_path().display());
    }

    fn try_start(settings: &[(&str, &str)]) -> Option<Self> {
        let port = free_port();
        let mut child = PACKAGE
            .script()
            .env("PORT", port.to_string())
            .env("CLIENT_SECRET", canary::CLIENT_SECRET)
            .envs(settings.iter().copied())
            // it ends when this process does
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(PACKAGE.log())
            .spawn()
            .expect("bash was there to install it");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let told = Log::default();
        let (copy, mut log) = (told.clone(), PACKAGE.log());
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = writeln!(log, "{line}");
                if let Ok(line) = serde_json::from_str::<Told>(&line) {
                    copy.push(line);
                }
            }
            copy.push(Told::of("ended"));
        });
        let mut server = Self { child, base: format!("http://127.0.0.1:{port}"), told };
        let first = server.told.try_wait(PATIENCE, |told| told.first().map(|told| told.event.clone()));
        if first.as_deref() == Some("ready") {
            return Some(server);
        }
        // another process took the port
        let _ = server.child.kill();
        None
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// `spec.auth` with consent for one of its clients, in flow style; the Secret is [`OAuthServer::secret`]'s. `more`: further members.
    pub fn auth(&self, more: &str) -> String {
        format!(
            "oauth2: {{grant: AuthorizationCode, tokenUrl: \"{}\", authorizationUrl: \"{}?prompt=consent\", \
             scopes: [openid, offline_access, read], secretRef: {{name: oauth}}, {more}}}",
            self.url("/token"),
            self.url("/auth")
        )
    }

    /// The Secret that [`OAuthServer::auth`] names.
    pub fn secret(client: &str, more: &[(&str, &str)]) -> String {
        let mut entries = vec![("client_id", client)];
        if client != "user-public" {
            entries.push(("client_secret", canary::CLIENT_SECRET));
        }
        entries.extend(more);
        manifest::secret("oauth", &entries)
    }

    /// All that it said up to now.
    pub fn told(&self) -> Vec<Told> {
        self.told.all()
    }

    /// How often it issued tokens for this `grant_type`.
    pub fn issued(&self, grant: &str) -> usize {
        self.told().iter().filter(|told| told.event == "issued" && told.grant.as_deref() == Some(grant)).count()
    }

    /// Waits until it has issued tokens so often for this `grant_type`.
    pub fn wait_issued(&self, grant: &str, count: usize) {
        let seen = self.try_wait_issued(grant, count, PATIENCE);
        assert!(seen, "fewer than {count} tokens for {grant} in time: {:#?}", self.told());
    }

    /// The same, at most so long.
    pub fn try_wait_issued(&self, grant: &str, count: usize, limit: Duration) -> bool {
        let enough = |told: &[Told]| {
            let issued = told.iter().filter(|told| told.event == "issued" && told.grant.as_deref() == Some(grant)).count();
            (issued >= count).then_some(())
        };
        self.told.try_wait(limit, enough).is_some()
    }

    /// Spent codes and refresh tokens that came again.
    pub fn reuses(&self) -> Vec<Told> {
        self.told().into_iter().filter(Told::is_reuse).collect()
    }

    /// The tokens that it issued, which nobody else may show.
    pub fn tokens(&self) -> Vec<String> {
        self.told().into_iter().flat_map(|told| [told.access, told.refresh]).flatten().collect()
    }

    /// The refresh token that it issued last.
    pub fn newest_refresh_token(&self) -> String {
        self.told().into_iter().rev().find_map(|told| told.refresh).expect("it issued one")
    }

    /// Lets requests through whose access token is live at this moment, by introspection (RFC 7662).
    pub fn takes(&self) -> impl Fn(&Ask) -> bool + Send + Sync + 'static {
        let url = self.url("/token/introspection");
        move |ask| {
            let token = ask.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
            token.is_some_and(|token| is_live(&url, token))
        }
    }

    /// Gives up a token (RFC 7009), as a person does who withdraws consent.
    pub fn revoke(&self, token: &str) {
        let body = form(&[("client_id", "user-body"), ("client_secret", canary::CLIENT_SECRET), ("token", token)]);
        let reply = client::exchange("POST", &self.url("/token/revocation"), &[FORM], Some(body)).expect("it answers");
        assert_eq!(reply.status, 200, "{}", reply.body);
    }
}

impl Drop for OAuthServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Told {
    fn of(event: &str) -> Self {
        Self { event: event.to_owned(), client: None, grant: None, access: None, refresh: None, error: None, detail: None }
    }
}

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// A body of the type `application/x-www-form-urlencoded`.
pub fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

fn is_live(introspection: &str, token: &str) -> bool {
    let body = form(&[("client_id", "machine-body"), ("client_secret", canary::CLIENT_SECRET), ("token", token)]);
    let reply = client::exchange("POST", introspection, &[FORM], Some(body)).expect("the OAuth server answers");
    assert_eq!(reply.status, 200, "introspection: {}", reply.body);
    let answer: serde_json::Value = serde_json::from_str(&reply.body).expect("introspection answers JSON");
    answer["active"] == true
}

/// Long enough for a person's walk through the forms.
pub const LONG_LIVED: (&str, &str) = ("ACCESS_TOKEN_SECONDS", "3600");

#[cfg(test)]
mod tests {
    use super::super::person::Person;
    use super::*;

    /// Tokens for a code, as the server gives them.
    fn redeem(server: &OAuthServer, code: &str) -> client::Reply {
        token(
            server,
            &[
                ("grant_type", "authorization_code"),
                ("code", code),
                ("redirect_uri", "http://127.0.0.1:9/connect/callback"),
                ("code_verifier", VERIFIER),
            ],
        )
    }

    fn token(server: &OAuthServer, fields: &[(&str, &str)]) -> client::Reply {
        let mut all = vec![("client_id", "user-body"), ("client_secret", canary::CLIENT_SECRET)];
        all.extend(fields);
        client::exchange("POST", &server.url("/token"), &[FORM], Some(form(&all))).expect("it answers")
    }

    // the example of RFC 7636, appendix B
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn authorization(server: &OAuthServer) -> String {
        let query = form(&[
            ("client_id", "user-body"),
            ("response_type", "code"),
            ("scope", "openid offline_access read"),
            ("prompt", "consent"),
            ("redirect_uri", "http://127.0.0.1:9/connect/callback"),
            ("state", "s"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ]);
        format!("{}?{query}", server.url("/auth"))
    }

    #[test]
    fn it_is_as_strict_as_its_log_says() {
        let Some(server) = OAuthServer::start_with(&[LONG_LIVED]) else { return };
        let field = |reply: &client::Reply, name: &str| {
            let answer: serde_json::Value = serde_json::from_str(&reply.body).expect("JSON");
            answer[name].as_str().unwrap_or_default().to_owned()
        };
        let back = Person::new().consent(&authorization(&server));
        let code = back.query("code").expect("a code");
        assert_eq!((back.query("state").as_deref(), back.query("iss")), (Some("s"), Some(server.url(""))));
        let first = redeem(&server, &code);
        let (access, refresh) = (field(&first, "access_token"), field(&first, "refresh_token"));
        assert!(is_live(&server.url("/token/introspection"), &access) && !refresh.is_empty(), "{}", first.body);

        let refresh_with = |old: &str| token(&server, &[("grant_type", "refresh_token"), ("refresh_token", old)]);
        let second = refresh_with(&refresh);
        assert_eq!(second.status, 200, "{}", second.body);
        assert_eq!(server.reuses().len(), 0);
        let again = refresh_with(&refresh);
        assert_eq!((again.status, field(&again, "error").as_str()), (400, "invalid_grant"));
        server.told.try_wait(PATIENCE, |told| told.iter().any(Told::is_reuse).then_some(()));
        assert_eq!(server.reuses().len(), 1, "{:#?}", server.told());
        assert_eq!(refresh_with(&field(&second, "refresh_token")).status, 400, "the whole grant is gone");
        assert!(server.told().iter().any(|told| told.event == "revoked"));
        assert!(server.tokens().contains(&refresh) && server.tokens().contains(&access));
    }

    #[test]
    fn a_person_may_deny() {
        let Some(server) = OAuthServer::start() else { return };
        let back = Person::new().deny(&authorization(&server));
        assert_eq!(back.query("error").as_deref(), Some("access_denied"));
        // it says so in a line that may come later than its answer
        let deadline = std::time::Instant::now() + PATIENCE;
        while !server.told().iter().any(|told| told.event == "denied") {
            assert!(std::time::Instant::now() < deadline, "{:#?}", server.told());
            std::thread::park_timeout(std::time::Duration::from_millis(20));
        }
    }

    #[test]
    fn nobody_gets_in_without_a_live_token() {
        let Some(server) = OAuthServer::start() else { return };
        let takes = server.takes();
        let ask = |headers: Vec<(String, String)>| Ask {
            at: std::time::Instant::now(),
            method: "GET".to_owned(),
            target: "/records".to_owned(),
            headers,
            body: Vec::new(),
        };
        assert!(!takes(&ask(Vec::new())));
        assert!(!takes(&ask(vec![("Authorization".to_owned(), "Bearer guessed".to_owned())])));
        let body = form(&[("grant_type", "client_credentials"), ("scope", "read")]);
        let login = base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD,
            form(&[("machine-basic", canary::CLIENT_SECRET)]).replacen('=', ":", 1),
        );
        let login = format!("Basic {login}");
        let reply = client::exchange("POST", &server.url("/token"), &[FORM, ("Authorization", &login)], Some(body)).unwrap();
        let token: serde_json::Value = serde_json::from_str(&reply.body).expect("JSON");
        let bearer = format!("Bearer {}", token["access_token"].as_str().expect(&reply.body));
        let ask = ask(vec![("Authorization".to_owned(), bearer)]);
        assert!(takes(&ask));
        let deadline = std::time::Instant::now() + PATIENCE;
        while takes(&ask) {
            assert!(std::time::Instant::now() < deadline, "a five-second token lives for ever");
            thread::park_timeout(Duration::from_millis(100));
        }
    }
}
