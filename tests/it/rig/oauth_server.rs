//! An authorization server, as strict as a real one: it rejects what RFC 6749 lets it reject, rotates refresh tokens, revokes all of a
//! consent when one is used twice, and logs every use. That log is the oracle.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::http::{Answer, Ask, Server};
use super::log::Log;
use super::{PATIENCE, canary};

/// The one client.
pub const CLIENT_ID: &str = canary::USER;
/// Its secret, with characters that encoders change.
pub const CLIENT_SECRET: &str = canary::CLIENT_SECRET;

/// How a client must prove itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Basic, form-encoded (RFC 6749 §2.3.1).
    Basic,
    /// Basic, as it is.
    BasicRaw,
    /// In the body.
    Body,
    /// Only the id, in the body.
    None,
}

/// A request that reached the server and was understood.
#[derive(Clone, Debug)]
pub struct Use {
    /// `grant_type`.
    pub grant: String,
    /// The refresh token or code; empty for client credentials.
    pub token: String,
    /// The `error` of the answer; empty: tokens were given.
    pub error: String,
    /// All parameters, as they came.
    pub form: Vec<(String, String)>,
}

/// What is done once a request was processed, before its answer leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Answer,
    /// The answer waits until the test lets it go.
    Hold,
    /// The connection closes: the answer is lost.
    Lose,
}

type Script = dyn FnMut(&Ask) -> Option<Answer> + Send;

struct Rules {
    code: Proof,
    refresh: Proof,
    secret: String,
    rotates: bool,
    /// So long after its first use a spent refresh token gets the same answer again.
    grace: Duration,
    /// How long an access token lives.
    life: Duration,
    /// What the answer says about it, as JSON; `None`: nothing.
    expires_in: Option<String>,
    scopes: BTreeSet<String>,
    audience: Option<String>,
    gives_refresh_token: bool,
}

struct Issued {
    until: Instant,
    consent: usize,
}

struct Refresh {
    consent: usize,
    spent: Option<(Instant, String)>,
}

struct Code {
    consent: usize,
    redirect_uri: Option<String>,
    challenge: Option<String>,
    spent: bool,
}

struct Book {
    rules: Rules,
    serial: usize,
    consents: usize,
    revoked: BTreeSet<usize>,
    access: BTreeMap<String, Issued>,
    refresh: BTreeMap<String, Refresh>,
    codes: BTreeMap<String, Code>,
    fates: Vec<Fate>,
    script: Box<Script>,
    held: usize,
    released: bool,
}

struct Shared {
    book: Mutex<Book>,
    change: Condvar,
    uses: Log<Use>,
}

/// An authorization server on a free loopback port; its token endpoint is `/token`.
pub struct OauthServer {
    server: Server,
    shared: Arc<Shared>,
    asks: Log<Ask>,
}

impl OauthServer {
    /// Rotates strictly, gives access tokens of one hour, and takes Basic.
    pub fn start() -> Self {
        let rules = Rules {
            code: Proof::Basic,
            refresh: Proof::Basic,
            secret: CLIENT_SECRET.to_owned(),
            rotates: true,
            grace: Duration::ZERO,
            life: Duration::from_hours(1),
            expires_in: Some("3600".to_owned()),
            scopes: ["read", "write"].map(str::to_owned).into(),
            audience: None,
            gives_refresh_token: true,
        };
        let book = Book {
            rules,
            serial: 0,
            consents: 0,
            revoked: BTreeSet::new(),
            access: BTreeMap::new(),
            refresh: BTreeMap::new(),
            codes: BTreeMap::new(),
            fates: Vec::new(),
            script: Box::new(|_| None),
            held: 0,
            released: false,
        };
        let shared = Arc::new(Shared { book: Mutex::new(book), change: Condvar::new(), uses: Log::default() });
        let asks = Log::default();
        let (answering, log) = (Arc::clone(&shared), asks.clone());
        let server = Server::start(move |ask| {
            log.push(ask.clone());
            answering.answer(ask)
        });
        Self { server, shared, asks }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.shared.lock()
    }

    /// Access tokens live so long, and the answer says so.
    pub fn life(self, life: Duration) -> Self {
        {
            let mut book = self.book();
            book.rules.life = life;
            book.rules.expires_in = Some(life.as_secs().to_string());
        }
        self
    }

    /// What the answer says about the life time, as JSON; `None`: nothing.
    pub fn saying(self, expires_in: Option<&str>) -> Self {
        self.book().rules.expires_in = expires_in.map(str::to_owned);
        self
    }

    /// How the client proves itself for a code, or for its own credentials, and for a refresh.
    pub fn proofs(self, code: Proof, refresh: Proof) -> Self {
        {
            let mut book = self.book();
            (book.rules.code, book.rules.refresh) = (code, refresh);
        }
        self
    }

    /// Refresh tokens stay valid.
    pub fn lasting(self) -> Self {
        self.book().rules.rotates = false;
        self
    }

    /// A spent refresh token gets the same answer again for so long.
    pub fn grace(self, grace: Duration) -> Self {
        self.book().rules.grace = grace;
        self
    }

    /// The audience that every request must name.
    pub fn audience(self, audience: &str) -> Self {
        self.book().rules.audience = Some(audience.to_owned());
        self
    }

    /// Codes bring no refresh token.
    pub fn without_refresh_tokens(self) -> Self {
        self.book().rules.gives_refresh_token = false;
        self
    }

    pub fn address(&self) -> std::net::SocketAddr {
        self.server.address()
    }

    pub fn token_url(&self) -> String {
        format!("{}/token", self.server.url())
    }

    /// Answers by this before anything else is looked at; `None` goes on as usual.
    pub fn misbehave(&self, script: impl FnMut(&Ask) -> Option<Answer> + Send + 'static) {
        self.book().script = Box::new(script);
    }

    /// The next request is processed, and its answer waits for [`Self::release`].
    pub fn hold_next(&self) {
        let mut book = self.book();
        book.released = false;
        book.fates.push(Fate::Hold);
    }

    /// So many next requests are processed, and their answers are lost.
    pub fn lose_next(&self, count: usize) {
        self.book().fates.extend(std::iter::repeat_n(Fate::Lose, count));
    }

    /// Waits until an answer waits.
    pub fn wait_held(&self) {
        assert!(self.try_wait_held(PATIENCE), "no request came whose answer could be held");
    }

    /// The same, at most so long.
    pub fn try_wait_held(&self, limit: Duration) -> bool {
        let book = self.book();
        let (_book, waited) =
            self.shared.change.wait_timeout_while(book, limit, |book| book.held == 0).unwrap_or_else(PoisonError::into_inner);
        !waited.timed_out()
    }

    /// Lets held answers go.
    pub fn release(&self) {
        self.book().released = true;
        self.shared.change.notify_all();
    }

    /// A person's consent: a refresh token, as tools for the purpose hand it out.
    pub fn consent(&self) -> String {
        let mut book = self.book();
        let consent = book.new_consent();
        book.issue_refresh(consent)
    }

    /// A person's consent: a code.
    pub fn code(&self, redirect_uri: Option<&str>, verifier: Option<&str>) -> String {
        let mut book = self.book();
        let consent = book.new_consent();
        let code = book.name("code");
        let challenge = verifier.map(|verifier| URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)));
        book.codes
            .insert(code.clone(), Code { consent, redirect_uri: redirect_uri.map(str::to_owned), challenge, spent: false });
        code
    }

    /// Is it an access token that the API takes?
    pub fn takes(&self) -> impl Fn(&Ask) -> bool + Send + Sync + use<> {
        let shared = Arc::clone(&self.shared);
        move |ask| {
            let token = ask.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
            token.is_some_and(|token| shared.lock().is_good(token))
        }
    }

    /// Every access token ends at once, and so does nothing else.
    pub fn end_access_tokens(&self) {
        self.book().access.clear();
    }

    /// Takes every consent back.
    pub fn revoke_all(&self) {
        let mut book = self.book();
        book.revoked = (0..=book.consents).collect();
    }

    /// Every use of the token endpoint.
    pub fn uses(&self) -> Vec<Use> {
        self.shared.uses.all()
    }

    /// Requests of any kind.
    pub fn asked(&self) -> usize {
        self.asks.len()
    }

    /// Waits for so many requests in all.
    pub fn wait_asked(&self, total: usize) {
        let seen = self.asks.try_wait(PATIENCE, |asks| (asks.len() >= total).then_some(()));
        assert!(seen.is_some(), "only {} of {total} token requests came", self.asks.len());
    }

    /// Waits for so many grants in all.
    pub fn wait_granted(&self, total: usize) {
        assert!(self.try_wait_granted(total, PATIENCE), "only {} of {total} grants came", self.granted());
    }

    /// The same, at most so long.
    pub fn try_wait_granted(&self, total: usize, limit: Duration) -> bool {
        self.shared.uses.try_wait(limit, |uses| (granted(uses) >= total).then_some(())).is_some()
    }

    /// How many requests got tokens.
    pub fn granted(&self) -> usize {
        granted(&self.uses())
    }

    /// Tokens and codes that were used more than once although a use spends them, without a grace.
    pub fn used_twice(&self) -> Vec<String> {
        let mut seen = BTreeMap::<String, usize>::new();
        for one in self.uses().into_iter().filter(|one| !one.token.is_empty()) {
            *seen.entry(one.token).or_default() += 1;
        }
        seen.into_iter().filter(|(_, count)| *count > 1).map(|(token, count)| format!("{token}: {count}")).collect()
    }
}

impl Drop for OauthServer {
    fn drop(&mut self) {
        self.release();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, ask: &Ask) -> Answer {
        let mut book = self.lock();
        if let Some(answer) = (book.script)(ask) {
            return answer;
        }
        let (form, answered) = match form(ask) {
            Ok(form) => {
                let answered = book.process(ask, &form);
                (form, answered)
            }
            Err(answer) => return answer,
        };
        let text = |name: &str| value(&form, name).unwrap_or_default().to_owned();
        let token = if text("refresh_token").is_empty() { text("code") } else { text("refresh_token") };
        let error = answered.as_ref().err().map_or("", |refused| refused.1).to_owned();
        self.uses.push(Use { grant: text("grant_type"), token, error, form });
        let fate = if book.fates.is_empty() { Fate::Answer } else { book.fates.remove(0) };
        if fate == Fate::Hold {
            book.held += 1;
            self.change.notify_all();
            book = self.change.wait_while(book, |book| !book.released).unwrap_or_else(PoisonError::into_inner);
            book.held -= 1;
        }
        drop(book);
        if fate == Fate::Lose {
            return Answer::hang_up();
        }
        match answered {
            Ok(body) => Answer::json(body).header("Cache-Control", "no-store"),
            Err((status, error)) => Answer::json(json!({"error": error, "error_description": canary::TOKEN}).to_string())
                .with_status(status)
                .header("WWW-Authenticate", "Basic realm=\"token\""),
        }
    }
}

/// The parameters: one form, each once, nothing in the URL (RFC 6749 §3.2).
fn form(ask: &Ask) -> Result<Vec<(String, String)>, Answer> {
    if ask.path() != "/token" {
        return Err(Answer::status(404));
    }
    if ask.method != "POST" {
        return Err(Answer::status(405));
    }
    let bad = || Answer::json(r#"{"error":"invalid_request"}"#).with_status(400);
    if ask.target.contains('?') || ask.header("content-type") != Some("application/x-www-form-urlencoded") {
        return Err(bad());
    }
    let form: Vec<(String, String)> = url::form_urlencoded::parse(&ask.body).into_owned().collect();
    let names: BTreeSet<_> = form.iter().map(|(name, _)| name.as_str()).collect();
    if names.len() != form.len() || form.iter().any(|(_, value)| value.is_empty()) {
        return Err(bad());
    }
    Ok(form)
}

fn value<'a>(form: &'a [(String, String)], name: &str) -> Option<&'a str> {
    form.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
}

/// Status and `error`.
type Refused = (u16, &'static str);

impl Book {
    fn name(&mut self, kind: &str) -> String {
        self.serial += 1;
        format!("{}-{kind}-{}", canary::OAUTH, self.serial)
    }

    fn new_consent(&mut self) -> usize {
        self.consents += 1;
        self.consents
    }

    fn issue_refresh(&mut self, consent: usize) -> String {
        let token = self.name("refresh");
        self.refresh.insert(token.clone(), Refresh { consent, spent: None });
        token
    }

    fn is_good(&self, token: &str) -> bool {
        self.access.get(token).is_some_and(|one| Instant::now() < one.until && !self.revoked.contains(&one.consent))
    }

    fn process(&mut self, ask: &Ask, form: &[(String, String)]) -> Result<String, Refused> {
        let grant = value(form, "grant_type").ok_or((400, "invalid_request"))?;
        self.authenticate(ask, form, if grant == "refresh_token" { self.rules.refresh } else { self.rules.code })?;
        if self.rules.audience.as_deref().is_some_and(|audience| value(form, "audience") != Some(audience)) {
            return Err((400, "invalid_target"));
        }
        if value(form, "scope").is_some_and(|scopes| scopes.split(' ').any(|scope| !self.rules.scopes.contains(scope))) {
            return Err((400, "invalid_scope"));
        }
        match grant {
            "client_credentials" => Ok(self.give(0, None)),
            "refresh_token" => self.refresh(value(form, "refresh_token").ok_or((400, "invalid_request"))?),
            "authorization_code" => self.exchange(form),
            _ => Err((400, "unsupported_grant_type")),
        }
    }

    fn authenticate(&self, ask: &Ask, form: &[(String, String)], proof: Proof) -> Result<(), Refused> {
        let secret = self.rules.secret.as_str();
        let basic = |encode: fn(&str) -> String| {
            format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(CLIENT_ID), encode(secret))))
        };
        let header = ask.header("authorization");
        let in_body = (value(form, "client_id"), value(form, "client_secret"));
        // More than one way of proving oneself is forbidden (§2.3).
        let is_good = match proof {
            Proof::Basic => {
                let encoded = basic(|text| url::form_urlencoded::byte_serialize(text.as_bytes()).collect());
                header == Some(encoded.as_str()) && in_body == (None, None)
            }
            Proof::BasicRaw => header == Some(basic(str::to_owned).as_str()) && in_body == (None, None),
            Proof::Body => header.is_none() && in_body == (Some(CLIENT_ID), Some(secret)),
            Proof::None => header.is_none() && in_body == (Some(CLIENT_ID), None),
        };
        if is_good { Ok(()) } else { Err((401, "invalid_client")) }
    }

    fn refresh(&mut self, token: &str) -> Result<String, Refused> {
        let (rotates, grace) = (self.rules.rotates, self.rules.grace);
        let Some(found) = self.refresh.get(token) else { return Err((400, "invalid_grant")) };
        let consent = found.consent;
        if self.revoked.contains(&consent) {
            return Err((400, "invalid_grant"));
        }
        if let Some((at, answer)) = &found.spent {
            if at.elapsed() < grace {
                return Ok(answer.clone());
            }
            // Theft cannot be told from a mistake (RFC 9700 §4.14.2).
            self.revoked.insert(consent);
            return Err((400, "invalid_grant"));
        }
        let next = rotates.then(|| self.issue_refresh(consent));
        let answer = self.give(consent, next);
        if rotates && let Some(found) = self.refresh.get_mut(token) {
            found.spent = Some((Instant::now(), answer.clone()));
        }
        Ok(answer)
    }

    fn exchange(&mut self, form: &[(String, String)]) -> Result<String, Refused> {
        let code = value(form, "code").ok_or((400, "invalid_request"))?;
        let found = self.codes.get_mut(code).ok_or((400, "invalid_grant"))?;
        let consent = found.consent;
        if found.spent {
            // §4.1.2: what was given for it is taken back.
            self.revoked.insert(consent);
            return Err((400, "invalid_grant"));
        }
        let verified = found.challenge.as_deref().is_none_or(|challenge| {
            value(form, "code_verifier").is_some_and(|verifier| URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)) == challenge)
        });
        if value(form, "redirect_uri") != found.redirect_uri.as_deref() || !verified {
            return Err((400, "invalid_grant"));
        }
        found.spent = true;
        let refresh = self.rules.gives_refresh_token.then(|| self.issue_refresh(consent));
        Ok(self.give(consent, refresh))
    }

    fn give(&mut self, consent: usize, refresh: Option<String>) -> String {
        let token = self.name("access");
        self.access.insert(token.clone(), Issued { until: Instant::now() + self.rules.life, consent });
        let mut body = json!({"access_token": token, "token_type": "Bearer"});
        if let Some(refresh) = refresh {
            body["refresh_token"] = json!(refresh);
        }
        if let Some(expires_in) = &self.rules.expires_in {
            body["expires_in"] = serde_json::from_str(expires_in).expect("JSON");
        }
        body.to_string()
    }
}

fn granted(uses: &[Use]) -> usize {
    uses.iter().filter(|one| one.error.is_empty()).count()
}
