//! Why a request brought no answer, sorted by what happens next, and how a user reads it.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

use super::address::AddressClass;
use super::descriptors;
use crate::api::conditions::{Problem, Reason};

/// Why a request brought no answer. Holds nothing that a peer sent and no address that a name resolved to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    // Only a person can fix it.
    /// The URL can never be asked.
    #[error("invalid URL: {0}")]
    InvalidUrl(UrlFault),
    /// The egress policy denies every address of the host.
    #[error(transparent)]
    Denied(Denial),
    /// The egress policy names ports, and this is none of them.
    #[error("the egress policy does not allow port {0}")]
    DeniedPort(u16),
    /// A redirect that is not followed.
    #[error("redirect refused: {0}")]
    RedirectRefused(RedirectFault),
    /// TLS could not be agreed on or the certificate could not be verified.
    #[error("TLS failed: {0}")]
    Tls(TlsFault),
    /// The answer exceeds its bound.
    #[error("answer too large: {0}")]
    TooLarge(Part),
    /// The client could not be built; only at the start of the program.
    #[error("the HTTP client could not be set up")]
    Setup,
    // It may pass by itself.
    /// No connection, or it was lost before an answer.
    #[error("unreachable: {0}")]
    Unreachable(Unreachable),
    /// A deadline passed.
    #[error("no answer in time: {0}")]
    Timeout(Phase),
    /// The answer is not correct HTTP, ended early, or its encoding is broken.
    #[error("broken answer: {0}")]
    BrokenAnswer(BrokenAnswer),
}

/// Why a URL can never be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlFault {
    /// Neither http nor https.
    Scheme,
    /// It carries a user name or password.
    UserInfo,
    /// It has no host.
    Host,
}

impl fmt::Display for UrlFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "the scheme is neither http nor https",
            Self::UserInfo => "a user name or password in the URL is not allowed",
            Self::Host => "the URL has no host",
        })
    }
}

/// The egress policy's no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The host as written in the URL.
    pub host: String,
    /// The class of its first denied address.
    pub class: AddressClass,
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "host {} is at {}, which the egress policy denies", self.host, self.class)
    }
}

impl StdError for Denial {}

/// Why a redirect is not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedirectFault {
    /// It leads to another scheme, host or port, which are these.
    OtherOrigin(String),
    /// More redirects than allowed.
    TooMany,
    /// Its `Location` is no URL that could be asked.
    InvalidLocation,
}

impl fmt::Display for RedirectFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherOrigin(_) => f.write_str("a redirect leads to another origin"),
            Self::TooMany => f.write_str("there are too many redirects"),
            Self::InvalidLocation => f.write_str("a redirect has an invalid Location"),
        }
    }
}

/// What went wrong with TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFault {
    /// No trusted certification authority signed the certificate.
    Untrusted,
    /// The certificate has expired or is not valid yet.
    Expired,
    /// The certificate is for another name.
    WrongName,
    /// The certificate was revoked, is malformed or may not be used for servers.
    BadCertificate,
    /// This machine has no certification authorities to trust.
    NoTrustRoots,
    /// The server wants a client certificate, or does not accept the one that it was shown.
    ClientCertificate,
    /// No common version or cipher, a handshake alert, no TLS at all.
    Handshake,
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Untrusted => "the certificate is signed by an authority that is not trusted",
            Self::Expired => "the certificate has expired or is not valid yet",
            Self::WrongName => "the certificate is for another host name",
            Self::BadCertificate => "the certificate is malformed, revoked or not meant for a server",
            Self::NoTrustRoots => "no trusted certificate authorities are installed where Pollinator runs",
            Self::ClientCertificate => "the server wants a client certificate, or does not accept this one",
            Self::Handshake => "the handshake failed",
        })
    }
}

/// The part of an answer that exceeds its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Header names and values in total, or the number of their lines.
    Headers,
    /// The body after inflating.
    Body,
    /// The body after inflating, compared with what was sent.
    Inflated,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Headers => "headers",
            Self::Body => "body",
            Self::Inflated => "inflated body",
        })
    }
}

/// Why there was no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Unreachable {
    /// The host name could not be resolved.
    Dns,
    /// No process listens there.
    Refused,
    /// The connection was closed before an answer.
    Closed,
    /// No connection could be made, for any other reason: nothing was sent.
    Unconnected,
    /// This process has no file descriptor left for a connection: nothing was sent. Stored under a name that older versions know.
    #[serde(rename(serialize = "Unconnected"))]
    OutOfDescriptors,
    /// Any other failure of the network.
    Network,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dns => "the host name could not be resolved",
            Self::Refused => "the connection was refused",
            Self::Closed => "the connection was closed before an answer",
            Self::Unconnected => "no connection could be made",
            Self::OutOfDescriptors => "no file descriptor is free where Pollinator runs",
            Self::Network => "the network failed",
        })
    }
}

/// What was waited for when a deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// DNS, TCP and TLS.
    Connect,
    /// The response head.
    FirstByte,
    /// The rest of the body.
    Body,
    /// The rest of the body, of which too little arrives.
    SlowBody,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting took too long",
            Self::FirstByte => "no response head came in time",
            Self::Body => "the body did not end in time",
            Self::SlowBody => "the body arrives at less than 512 bytes a second",
        })
    }
}

/// What is broken in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BrokenAnswer {
    /// The head is not HTTP.
    Head,
    /// The body ended early or its framing is wrong.
    Truncated,
    /// The body is not in the encoding that its header names.
    Encoding,
    /// An encoding that was not asked for, or several on top of each other.
    UnknownEncoding,
}

impl fmt::Display for BrokenAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Head => "the response head is not correct HTTP",
            Self::Truncated => "the body ended early",
            Self::Encoding => "the body is not in the encoding that Content-Encoding names",
            Self::UnknownEncoding => "Content-Encoding is not one of gzip, br and deflate, which the request accepts",
        })
    }
}

/// Who was asked; decides which field a message names and which reason it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// The API that is polled.
    Provider,
    /// The receiver of events.
    Callback,
    /// Where access tokens come from.
    TokenEndpoint,
}

impl Peer {
    fn field(self) -> &'static str {
        match self {
            Self::Provider => "baseUrl",
            Self::Callback => "callback.url",
            Self::TokenEndpoint => "oauth2.tokenUrl",
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Provider => "the provider",
            Self::Callback => "the callback",
            Self::TokenEndpoint => "the token endpoint",
        }
    }
}

impl EgressError {
    /// Whether it is certain that the other side has not seen the request.
    pub fn is_unsent(&self) -> bool {
        match self {
            Self::InvalidUrl(_)
            | Self::Denied(_)
            | Self::DeniedPort(_)
            | Self::Tls(_)
            | Self::Setup
            | Self::Timeout(Phase::Connect) => true,
            Self::Unreachable(kind) => !matches!(kind, Unreachable::Closed | Unreachable::Network),
            Self::RedirectRefused(_) | Self::TooLarge(_) | Self::Timeout(_) | Self::BrokenAnswer(_) => false,
        }
    }

    /// The failure as a user sees it.
    pub fn into_problem(self, who: Peer) -> Problem {
        let field = who.field();
        let noun = who.noun();
        match self {
            Self::InvalidUrl(fault) => {
                let fix = match fault {
                    UrlFault::Scheme => "use an https URL",
                    UrlFault::UserInfo => "put credentials into a Secret and refer to it in auth",
                    UrlFault::Host => "use an absolute URL",
                };
                Problem::human(Reason::InvalidSpec, format!("{field}: {fault}; {fix}"))
            }
            Self::Denied(denial) => Problem::human(
                Reason::EgressDenied,
                format!("{field}: {denial}; use a public host, or let the administrator allow it with --allow-egress"),
            ),
            Self::DeniedPort(port) => Problem::human(
                Reason::EgressDenied,
                format!(
                    "{field}: the egress policy does not allow port {port}; use a port that it allows, or let the administrator allow it with --allow-ports"
                ),
            ),
            Self::RedirectRefused(fault) => {
                let fix = match fault {
                    RedirectFault::OtherOrigin(_) => {
                        "use the URL that answers without a redirect, or check auth if that is where people log in"
                    }
                    RedirectFault::TooMany | RedirectFault::InvalidLocation => "use the URL that answers without a redirect",
                };
                let problem = Problem::human(Reason::RedirectRefused, format!("{field}: {fault}; {fix}"));
                match fault {
                    RedirectFault::OtherOrigin(origin) => problem.seeing(format!("the redirect leads to {origin}")),
                    RedirectFault::TooMany | RedirectFault::InvalidLocation => problem,
                }
            }
            Self::Tls(fault) => {
                // A token endpoint is that of the provider or of the callback, and has the settings of the one that it is of.
                let tls = if who == Peer::Callback { "callback.tls" } else { "tls" };
                let fix = match fault {
                    TlsFault::Untrusted => format!(
                        "name its authority in {tls}.caBundleRef, install it where Pollinator runs (SSL_CERT_FILE) and restart Pollinator, or renew the certificate"
                    ),
                    TlsFault::NoTrustRoots => format!(
                        "install CA certificates there, or name a bundle in SSL_CERT_FILE, and restart Pollinator; or name one in {tls}.caBundleRef"
                    ),
                    TlsFault::WrongName => "use a host name that the certificate covers".to_owned(),
                    TlsFault::Expired | TlsFault::BadCertificate => "renew the certificate of the server".to_owned(),
                    TlsFault::ClientCertificate => format!("name one that it accepts in {tls}.clientCertificateRef"),
                    TlsFault::Handshake => "check that the port speaks TLS 1.2 or 1.3".to_owned(),
                };
                Problem::human(Reason::TlsError, format!("{field}: {fault}; {fix}"))
            }
            Self::TooLarge(Part::Headers) => Problem::human(
                Reason::ResponseTooLarge,
                format!(
                    "{field}: the response headers of {noun} exceed 64 KiB or 500 lines; check that the URL is the one of the API"
                ),
            ),
            Self::TooLarge(Part::Body) => Problem::human(
                Reason::ResponseTooLarge,
                match who {
                    Peer::Provider => {
                        "resources[].pageSize: the response body exceeds its bound; ask for fewer records a page".to_owned()
                    }
                    Peer::Callback => "callback.url: the response body exceeds its bound; answer with an empty body".to_owned(),
                    Peer::TokenEndpoint => {
                        "oauth2.tokenUrl: the response body exceeds its bound; check that the URL is the token endpoint"
                            .to_owned()
                    }
                },
            ),
            Self::TooLarge(Part::Inflated) => Problem::human(
                Reason::ResponseTooLarge,
                match who {
                    Peer::Provider => {
                        "resources[].pageSize: the response body is more than 8 MiB and more than 100 times what was sent, as only compression bombs are; check baseUrl, and ask for fewer records a page".to_owned()
                    }
                    Peer::Callback | Peer::TokenEndpoint => format!(
                        "{field}: the response body is more than 8 MiB and more than 100 times what was sent, as only compression bombs are; check that the URL is the right one"
                    ),
                },
            ),
            Self::Setup => Problem::human(
                Reason::InternalError,
                "the HTTP client could not be set up; check the TLS settings of the machine where Pollinator runs",
            ),
            Self::Unreachable(kind) => {
                let fix = match kind {
                    Unreachable::Dns => "check the host name",
                    Unreachable::Refused => "check host and port, and that the server runs",
                    Unreachable::OutOfDescriptors => "raise the limit of open files there (ulimit -n)",
                    Unreachable::Closed | Unreachable::Unconnected | Unreachable::Network => {
                        "check the server and the network in between"
                    }
                };
                let reason = match who {
                    Peer::Provider => Reason::ProviderUnreachable,
                    Peer::Callback => Reason::CallbackUnreachable,
                    Peer::TokenEndpoint => Reason::TokenEndpointUnreachable,
                };
                Problem::transient(reason, format!("{field}: {kind}; {fix}; retrying with back-off"))
            }
            Self::Timeout(phase) => {
                let reason = match who {
                    Peer::Provider => Reason::ProviderTimeout,
                    Peer::Callback => Reason::CallbackUnreachable,
                    Peer::TokenEndpoint => Reason::TokenEndpointUnreachable,
                };
                Problem::transient(
                    reason,
                    format!("{field}: {phase}; check the load of {noun}; retrying with back-off"),
                )
            }
            Self::BrokenAnswer(fault) => Problem::transient(
                match who {
                    Peer::Provider => Reason::InvalidResponse,
                    Peer::Callback => Reason::CallbackUnreachable,
                    Peer::TokenEndpoint => Reason::TokenEndpointUnreachable,
                },
                format!("{field}: {fault}; check {noun} and any proxy in between; retrying with back-off"),
            ),
        }
    }

    /// Reads the HTTP client's error, which happened before the response head. `roots` says whether any authority is trusted.
    pub(super) fn before_head(error: &reqwest::Error, roots: bool) -> Self {
        let seen = Seen::of(error);
        if let Some(denial) = seen.denial {
            return Self::Denied(denial);
        }
        if let Some(fault) = seen.tls {
            let blind = fault == TlsFault::Untrusted && !roots;
            return Self::Tls(if blind { TlsFault::NoTrustRoots } else { fault });
        }
        if seen.out_of_descriptors {
            return Self::Unreachable(Unreachable::OutOfDescriptors);
        }
        if error.is_dns() && !error.is_timeout() {
            return Self::Unreachable(Unreachable::Dns);
        }
        if error.is_timeout() {
            return Self::Timeout(Phase::Connect);
        }
        if seen.head_too_large {
            return Self::TooLarge(Part::Headers);
        }
        if seen.not_http {
            return Self::BrokenAnswer(BrokenAnswer::Head);
        }
        if error.is_connect() && seen.io != Some(io::ErrorKind::ConnectionRefused) {
            return Self::Unreachable(Unreachable::Unconnected);
        }
        Self::Unreachable(seen.io.map_or(Unreachable::Closed, |kind| match kind {
            io::ErrorKind::ConnectionRefused => Unreachable::Refused,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected
            | io::ErrorKind::UnexpectedEof => Unreachable::Closed,
            _ => Unreachable::Network,
        }))
    }
}

/// What the chain of causes of an error holds.
#[derive(Default)]
struct Seen {
    denial: Option<Denial>,
    tls: Option<TlsFault>,
    io: Option<io::ErrorKind>,
    out_of_descriptors: bool,
    head_too_large: bool,
    not_http: bool,
}

impl Seen {
    fn of(error: &(dyn StdError + 'static)) -> Self {
        let mut seen = Self::default();
        let mut next = Some(error);
        while let Some(cause) = next {
            seen.look(cause);
            next = cause.source();
        }
        seen
    }

    fn look(&mut self, cause: &(dyn StdError + 'static)) {
        if let Some(denial) = cause.downcast_ref::<Denial>() {
            self.denial = Some(denial.clone());
        } else if let Some(error) = cause.downcast_ref::<rustls::Error>() {
            self.tls = Some(tls_fault(error));
        } else if let Some(error) = cause.downcast_ref::<hyper::Error>() {
            self.head_too_large |= error.is_parse_too_large();
            self.not_http |= error.is_parse();
        } else if let Some(error) = cause.downcast_ref::<io::Error>() {
            self.io = Some(error.kind());
            self.out_of_descriptors |= descriptors::are_used_up(error);
            // io::Error::source() skips the error that it wraps.
            if let Some(inner) = error.get_ref() {
                self.look(inner);
            }
        }
    }
}

fn tls_fault(error: &rustls::Error) -> TlsFault {
    use rustls::AlertDescription as A;
    use rustls::CertificateError as C;
    // What a server says of a certificate (RFC 8446 §6.2) is about that of the client.
    if let rustls::Error::AlertReceived(
        A::CertificateRequired
        | A::BadCertificate
        | A::UnsupportedCertificate
        | A::CertificateRevoked
        | A::CertificateExpired
        | A::CertificateUnknown
        | A::UnknownCA
        | A::AccessDenied,
    ) = error
    {
        return TlsFault::ClientCertificate;
    }
    let rustls::Error::InvalidCertificate(certificate) = error else { return TlsFault::Handshake };
    match certificate {
        C::UnknownIssuer => TlsFault::Untrusted,
        C::Expired | C::ExpiredContext { .. } | C::NotValidYet | C::NotValidYetContext { .. } => TlsFault::Expired,
        C::NotValidForName | C::NotValidForNameContext { .. } => TlsFault::WrongName,
        _ => TlsFault::BadCertificate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::conditions::Reaction;

    fn all() -> Vec<EgressError> {
        use EgressError as E;
        let denial = Denial { host: "api.example".to_owned(), class: AddressClass::Private };
        let mut all = vec![E::Denied(denial), E::DeniedPort(6379), E::Setup];
        all.extend([UrlFault::Scheme, UrlFault::UserInfo, UrlFault::Host].map(E::InvalidUrl));
        all.extend(
            [RedirectFault::OtherOrigin("https://a.example".into()), RedirectFault::TooMany, RedirectFault::InvalidLocation]
                .map(E::RedirectRefused),
        );
        all.extend([TlsFault::Untrusted, TlsFault::Expired, TlsFault::WrongName].map(E::Tls));
        all.extend([TlsFault::BadCertificate, TlsFault::NoTrustRoots, TlsFault::Handshake].map(E::Tls));
        all.push(E::Tls(TlsFault::ClientCertificate));
        all.extend([Part::Headers, Part::Body, Part::Inflated].map(E::TooLarge));
        all.extend([Unreachable::Dns, Unreachable::Refused, Unreachable::Closed].map(E::Unreachable));
        all.extend([Unreachable::Unconnected, Unreachable::OutOfDescriptors, Unreachable::Network].map(E::Unreachable));
        all.extend([Phase::Connect, Phase::FirstByte, Phase::Body, Phase::SlowBody].map(E::Timeout));
        all.extend([BrokenAnswer::Head, BrokenAnswer::Truncated].map(E::BrokenAnswer));
        all.extend([BrokenAnswer::Encoding, BrokenAnswer::UnknownEncoding].map(E::BrokenAnswer));
        all
    }

    #[test]
    fn every_message_names_field_cause_and_fix_in_one_line() {
        for error in all() {
            for who in [Peer::Provider, Peer::Callback, Peer::TokenEndpoint] {
                let problem = error.clone().into_problem(who);
                let message = &problem.message;
                assert!(!message.contains('\n') && message.len() < 300, "{message}");
                assert!(message.contains("; "), "no fix: {message}");
                if error != EgressError::Setup {
                    let names_field = match who {
                        Peer::Provider => message.starts_with("baseUrl: ") || message.starts_with("resources[]."),
                        Peer::Callback => message.starts_with("callback.url: "),
                        Peer::TokenEndpoint => message.starts_with("oauth2.tokenUrl: "),
                    };
                    assert!(names_field, "{message}");
                }
            }
        }
    }

    #[test]
    fn what_the_network_does_may_pass_and_what_was_written_needs_a_person() {
        for error in all() {
            let expected = match error {
                EgressError::Unreachable(_) | EgressError::Timeout(_) | EgressError::BrokenAnswer(_) => Reaction::Transient,
                _ => Reaction::Human,
            };
            assert_eq!(error.clone().into_problem(Peer::Provider).reaction, expected, "{error:?}");
        }
    }

    #[test]
    fn nobody_else_is_blamed_on_the_provider() {
        for error in all() {
            for who in [Peer::Callback, Peer::TokenEndpoint] {
                let problem = error.clone().into_problem(who);
                assert!(!problem.reason.to_string().starts_with("Provider"), "{problem}");
                assert!(!problem.message.contains("provider"), "{problem}");
            }
        }
    }

    #[test]
    fn a_denial_names_the_host_as_written_and_the_rule() {
        let denial = Denial { host: "api.example".to_owned(), class: AddressClass::Metadata };
        assert_eq!(
            EgressError::Denied(denial).into_problem(Peer::Callback).to_string(),
            "EgressDenied: callback.url: host api.example is at a cloud metadata address, which the egress policy denies; use a \
             public host, or let the administrator allow it with --allow-egress"
        );
    }

    #[test]
    fn causes_are_found_inside_an_io_error() {
        let denial = Denial { host: "x".to_owned(), class: AddressClass::Private };
        let nested = io::Error::other(io::Error::other(denial.clone()));
        assert_eq!(Seen::of(&nested).denial, Some(denial));
        let tls = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
        assert_eq!(Seen::of(&io::Error::new(io::ErrorKind::InvalidData, tls)).tls, Some(TlsFault::Expired));
    }
}
