//! Sending one request: guard, redirects, deadlines, bounds.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::BytesMut;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::body::{self, Coding, Room};
use super::byte_budget::Share;
use super::error::{Part, Phase, RedirectFault, Unreachable};
use super::guard::EgressPolicy;
use super::identity::Identity;
use super::resolve::GuardedResolver;
use super::{EgressError, Limits, Overflow, Redirects, Request, Response, query, shown_origin};

/// DNS, TCP and TLS of one connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_mins(1);
/// Unused connections kept for one host: as many as jobs may run at once, for many instances may share a callback. Fewer would
/// be closed between two events, only to be opened again.
const IDLE_PER_HOST: usize = 256;
/// Client certificates and sets of authorities for which a client with its connections is kept; more are taken up again when they are needed.
const MAX_IDENTITIES: usize = 64;
/// Names and values of all response headers in total.
const HEADERS: usize = 64 * 1024;
/// Lines of a response head over HTTP/1: receivers behind several proxies have set more than a hundred cookies. They must fit into the bound
/// of bytes, too.
const HTTP1_HEADERS: usize = 500;
/// Above it an HTTP/2 stream is reset without an error of its own; it exceeds the bound by enough that a head a little too large is still
/// reported as such.
const HTTP2_HEADERS: u32 = 256 * 1024;

/// Clients by the digest of the certificate that they show and the authorities that they trust.
type ByIdentity = Vec<([u8; 32], reqwest::Client)>;

/// The one HTTP client. A clone shares its connections.
#[derive(Clone)]
pub struct Egress {
    client: reqwest::Client,
    /// Keeps no connection: each request has one of its own. Built for the first of them, since most processes ask for no token.
    apart: Arc<OnceLock<reqwest::Client>>,
    policy: Arc<EgressPolicy>,
    roots: bool,
    /// Clients with a certificate or authorities of their own, the one that was used last at the end.
    with_identity: Arc<Mutex<ByIdentity>>,
}

impl std::fmt::Debug for Egress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Egress").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Egress {
    /// Builds the client. Certificates are verified against the authorities of the system (or of `SSL_CERT_FILE` and
    /// `SSL_CERT_DIR`); without any, http still works and https fails with [`EgressError::Tls`].
    ///
    /// Errors: [`EgressError::Setup`].
    pub fn new(policy: EgressPolicy) -> Result<Self, EgressError> {
        // An error means that a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let policy = Arc::new(policy);
        let (client, roots) = if let Ok(client) = builder(&policy).build() {
            (client, true)
        } else {
            tracing::warn!("no trusted certificate authorities were found: https requests will fail");
            let client = builder(&policy).tls_certs_only([]).build().map_err(|_| EgressError::Setup)?;
            (client, false)
        };
        Ok(Self { client, apart: Arc::default(), policy, roots, with_identity: Arc::default() })
    }

    /// The same with another resolver.
    #[cfg(test)]
    pub(super) fn resolving(policy: EgressPolicy, lookup: Arc<super::resolve::Lookup>) -> Result<Self, EgressError> {
        let egress = Self::new(policy)?;
        let resolver = GuardedResolver { policy: Arc::clone(&egress.policy), lookup };
        let client = builder(&egress.policy).dns_resolver(resolver).build().map_err(|_| EgressError::Setup)?;
        Ok(Self { client, ..egress })
    }

    /// Sends one request and reads its answer within the request's limits. Any status is an answer.
    ///
    /// Redirects are followed for GET only; a refused one is an error, a 3xx with [`Redirects::Never`] an answer. A GET whose
    /// connection was closed before an answer is sent once more (RFC 9110 §9.2.2): servers close an unused connection at the very
    /// moment at which the next poll takes it.
    pub async fn send(&self, request: Request) -> Result<Response, EgressError> {
        self.send_as(request, None).await
    }

    /// The same with a client certificate, which is shown to a server that asks for one, and with authorities of its own.
    pub async fn send_as(&self, request: Request, identity: Option<&Identity>) -> Result<Response, EgressError> {
        self.send_sharing(request, identity, None).await
    }

    /// The same over a connection that served no request before, for a request that cannot be repeated. A server closes an unused
    /// connection at the very moment at which the next request takes it, and then it is unknown whether that request was read.
    pub async fn send_apart(&self, request: Request, identity: Option<&Identity>) -> Result<Response, EgressError> {
        let client = match identity {
            Some(identity) => self.build_with(identity)?,
            None => self.apart()?,
        };
        Box::pin(self.exchange(request, (client, self.trusts(identity)), None)).await
    }

    /// Whether there is any authority that a server could have its certificate of.
    fn trusts(&self, identity: Option<&Identity>) -> bool {
        self.roots || identity.is_some_and(|identity| !identity.authorities.is_empty())
    }

    fn apart(&self) -> Result<reqwest::Client, EgressError> {
        if let Some(client) = self.apart.get() {
            return Ok(client.clone());
        }
        let apart = builder(&self.policy).pool_max_idle_per_host(0);
        let apart = if self.roots { apart } else { apart.tls_certs_only([]) };
        let client = apart.build().map_err(|_| EgressError::Setup)?;
        Ok(self.apart.get_or_init(|| client).clone())
    }

    /// The same for a body that may be large: it is read as far as its part of the memory for bodies grows, and that part must be kept as
    /// long as the body. The time for which it waits for memory counts against no deadline.
    pub async fn send_sharing(
        &self,
        request: Request,
        identity: Option<&Identity>,
        share: Option<&mut Share>,
    ) -> Result<Response, EgressError> {
        let client = match identity {
            Some(identity) => self.client_of(identity)?,
            None => self.client.clone(),
        };
        // Boxed: thousands of jobs may wait for their turn to send, and none of them needs the room before.
        Box::pin(self.exchange(request, (client, self.trusts(identity)), share)).await
    }

    /// Connections are shared by those alone who have the same certificate and trust the same authorities.
    fn client_of(&self, identity: &Identity) -> Result<reqwest::Client, EgressError> {
        let mut clients = self.with_identity.lock();
        let found = clients.iter().position(|(fingerprint, _)| *fingerprint == identity.fingerprint);
        let entry = match found {
            Some(index) => clients.remove(index),
            None => (identity.fingerprint, self.build_with(identity)?),
        };
        let client = entry.1.clone();
        if clients.len() >= MAX_IDENTITIES {
            clients.remove(0);
        }
        clients.push(entry);
        Ok(client)
    }

    /// How many client certificates are held.
    #[cfg(test)]
    pub(super) fn identities(&self) -> usize {
        self.with_identity.lock().len()
    }

    fn build_with(&self, identity: &Identity) -> Result<reqwest::Client, EgressError> {
        let failed = |_| EgressError::Setup;
        let authorities = identity.authorities.iter().map(|der| reqwest::Certificate::from_der(der));
        let authorities = authorities.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let with_own = match &identity.certificate {
            Some(own) => builder(&self.policy).identity(reqwest::Identity::from_pem(&own.pem).map_err(failed)?),
            None => builder(&self.policy),
        };
        let client = if self.roots { with_own.tls_certs_merge(authorities) } else { with_own.tls_certs_only(authorities) };
        client.build().map_err(failed)
    }

    async fn exchange(
        &self,
        request: Request,
        (client, roots): (reqwest::Client, bool),
        share: Option<&mut Share>,
    ) -> Result<Response, EgressError> {
        let started = Instant::now();
        let deadline = started + request.limits.total;
        let head_deadline = deadline.min(started + request.limits.first_byte);
        let Request { method, mut url, mut headers, body, credentials, redirects, limits } = request;
        settle_headers(&mut headers, limits.overflow);
        let mut hops = match redirects {
            Redirects::WithinOrigin(hops) if method == Method::GET => Some(hops),
            _ => None,
        };
        let mut again = method == Method::GET;
        loop {
            self.policy.judge_url(&url)?;
            let mut asked = reqwest::Request::new(method.clone(), url.clone());
            let only_once = !again && hops.is_none();
            *asked.headers_mut() = if only_once { std::mem::take(&mut headers) } else { headers.clone() };
            *asked.body_mut() = body.clone().map(reqwest::Body::from);
            let outcome = timeout_at(head_deadline, client.execute(asked))
                .await
                .map_err(|_| EgressError::Timeout(Phase::FirstByte))?
                .map_err(|error| EgressError::before_head(&error, roots));
            let answer = match outcome {
                Err(EgressError::Unreachable(Unreachable::Closed)) if again => {
                    again = false;
                    continue;
                }
                outcome => outcome?,
            };
            if header_bytes(answer.headers()) > HEADERS {
                return Err(EgressError::TooLarge(Part::Headers));
            }
            if let Some(left) = &mut hops
                && let Some(target) = redirect_target(&url, answer.status(), answer.headers())?
            {
                *left = left.checked_sub(1).ok_or(EgressError::RedirectRefused(RedirectFault::TooMany))?;
                url = target;
                query::put(&mut url, &credentials);
                continue;
            }
            return read(answer, url, limits, deadline, share).await;
        }
    }
}

fn builder(policy: &Arc<EgressPolicy>) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("pollinator/", env!("CARGO_PKG_VERSION")))
        // A proxy would resolve names itself, behind the guard.
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .dns_resolver(GuardedResolver::of_system(policy))
        .connect_timeout(CONNECT)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .http1_max_headers(HTTP1_HEADERS)
        .http2_max_header_list_size(HTTP2_HEADERS)
}

/// The client sets these itself, whatever the request says.
fn settle_headers(headers: &mut HeaderMap, overflow: Overflow) {
    headers.remove(header::HOST);
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::TRANSFER_ENCODING);
    let encodings = match overflow {
        Overflow::Refuse => body::ACCEPT_ENCODING,
        Overflow::Discard => "identity",
    };
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(encodings));
}

fn header_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

/// Where a redirect leads, or `None` if the answer is none.
fn redirect_target(url: &Url, status: StatusCode, headers: &HeaderMap) -> Result<Option<Url>, EgressError> {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = headers.get(header::LOCATION) else { return Ok(None) };
    let invalid = || EgressError::RedirectRefused(RedirectFault::InvalidLocation);
    let target = location.to_str().ok().and_then(|text| url.join(text).ok()).ok_or_else(invalid)?;
    if target.origin() != url.origin() {
        return Err(EgressError::RedirectRefused(RedirectFault::OtherOrigin(shown_origin(&target))));
    }
    if !target.username().is_empty() || target.password().is_some() {
        return Err(invalid());
    }
    Ok(Some(target))
}

async fn read(
    mut answer: reqwest::Response,
    url: Url,
    limits: Limits,
    deadline: Instant,
    mut share: Option<&mut Share>,
) -> Result<Response, EgressError> {
    let status = answer.status();
    let mut headers = std::mem::take(answer.headers_mut());
    let body = match limits.overflow {
        Overflow::Refuse => {
            let coding = Coding::of(&headers)?;
            if coding.is_some() {
                // They describe the bytes on the wire, not the body that is handed on.
                headers.remove(header::CONTENT_ENCODING);
                headers.remove(header::CONTENT_LENGTH);
            }
            let (began, arrived) = (Instant::now(), AtomicUsize::new(0));
            let room = Room {
                bound: limits.body,
                deadline,
                share: share.as_deref_mut(),
                reserved: 0,
                began,
                grace: limits.total / 2,
                arrived: &arrived,
            };
            let body = body::read(answer, coding, room).await?;
            if let Some(share) = share {
                share.settle(body.len());
            }
            body
        }
        Overflow::Discard => {
            let mut kept = BytesMut::new();
            // The status has been said: neither a stalled nor a broken body takes it back.
            let _ = timeout_at(deadline, body::read_some(answer, limits.body, &mut kept)).await;
            kept.freeze()
        }
    };
    Ok(Response { status, headers, body, url })
}
