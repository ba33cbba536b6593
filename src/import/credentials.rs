//! The credentials among the settings → a Secret and `spec.auth`.

use super::draft::{Draft, Known, Scheme};
use super::fields::{Field, Fields};
use super::report::{Section, Verdict};
use super::settings::NO_SWITCH;
use super::value::{Said, switch};
use crate::api::auth::{
    ApiKey, Auth, Basic, Bearer, ClientAuthentication, ClientPlace, Grant, Oauth2, SecretKeyRef, SecretRef,
};
use crate::api::connector::ConnectorAuth;
use crate::api::nearest::plain;
use crate::api::secrecy::is_secret;

/// The settings that an instance's credentials are read from.
pub(super) struct Credentials<'a> {
    pub known: Known<'a>,
    pub settings: &'a mut Fields,
    /// Members of `providerData`.
    pub provider_data: &'a mut Fields,
    pub draft: &'a mut Draft,
    pub section: &'a mut Section,
}

impl Credentials<'_> {
    /// Takes what belongs to the credentials and sets `spec.auth`.
    pub fn import(mut self) {
        if self.is_oauth1() {
            let text = "the settings are those of OAuth 1.0a, with which no request is signed here: write an auth that the provider takes";
            self.section.result(Verdict::ToDo, "spec.auth", text);
            return;
        }
        let Some(scheme) = self.scheme() else { return };
        self.draft.stub.scheme = Some(scheme);
        match scheme {
            Scheme::Oauth2 => self.oauth2(),
            Scheme::Basic => self.basic(),
            Scheme::ApiKey => {
                let secret_ref = self.one_key("api-key", is_api_key);
                self.draft.spec.auth = Some(Auth::ApiKey(ApiKey { place: None, name: None, prefix: None, secret_ref }));
            }
            Scheme::Bearer => {
                let secret_ref = self.one_key("token", |name| name == "oauth.user.token" || is_api_key(name));
                self.draft.spec.auth = Some(Auth::Bearer(Bearer { secret_ref }));
            }
        }
    }

    /// Whether the connector is unknown and a token has a secret of its own, or was given out for a verifier (RFC 5849).
    fn is_oauth1(&self) -> bool {
        let says = |fields: &Fields, name| fields.peek(name).is_some_and(|field| Said::of(&field.value) != Said::Nothing);
        let is_known = self.known.spec.is_some_and(|spec| spec.auth.is_some());
        !is_known && (says(self.settings, "oauth.user.token.secret") || says(self.provider_data, "oauth_verifier"))
    }

    /// As the connector says; without one, as the settings look.
    fn scheme(&self) -> Option<Scheme> {
        let has = |name: &str| self.settings.peek(name).is_some_and(|field| Said::of(&field.value) != Said::Nothing);
        let any = |is_meant: fn(&str) -> bool| {
            self.settings.iter().any(|field| is_meant(&field.name) && Said::of(&field.value) != Said::Nothing)
        };
        let has_grant = has("oauth.user.refresh_token") || self.provider_data.peek("code").is_some();
        match self.known.spec.and_then(|spec| spec.auth.as_ref()) {
            Some(ConnectorAuth::Oauth2(own)) if own.grant != Grant::ClientCredentials => {
                let only_token = has("oauth.user.token") && !has_grant && !has("oauth.api.secret");
                Some(if only_token { Scheme::Bearer } else { Scheme::Oauth2 })
            }
            Some(ConnectorAuth::Oauth2(_)) => Some(Scheme::Oauth2),
            Some(ConnectorAuth::Basic(_)) => Some(Scheme::Basic),
            Some(ConnectorAuth::ApiKey(_)) => Some(Scheme::ApiKey),
            Some(ConnectorAuth::Bearer(_)) => Some(Scheme::Bearer),
            None if has_grant || has("oauth.api.key") || has("oauth.api.secret") => Some(Scheme::Oauth2),
            None if has("oauth.user.token") => Some(Scheme::Bearer),
            None if any(is_password) => Some(Scheme::Basic),
            None if any(is_api_key) => Some(Scheme::ApiKey),
            None => None,
        }
    }

    fn oauth2(&mut self) {
        let secret = format!("{}-oauth", self.draft.name);
        for (name, key) in [("oauth.api.key", "client_id"), ("oauth.api.secret", "client_secret")] {
            let field = self.settings.take(name);
            self.put(field, &secret, key, true);
        }
        let own_grant = match self.known.spec.and_then(|spec| spec.auth.as_ref()) {
            Some(ConnectorAuth::Oauth2(own)) => Some(own.grant),
            _ => None,
        };
        let needs_grant = own_grant.is_none_or(|grant| matches!(grant, Grant::RefreshToken | Grant::AuthorizationCode));
        let refresh = self.settings.take("oauth.user.refresh_token");
        let has_refresh = refresh.as_ref().is_some_and(|field| matches!(Said::of(&field.value), Said::Text(_)));
        let code = self.provider_data.take("code");
        let has_code = code.as_ref().is_some_and(|field| matches!(Said::of(&field.value), Said::Text(_)));
        if has_code && !has_refresh {
            self.code(code, &secret);
            if let Some(field) = refresh {
                self.section.dropped(&field.place, "the code is exchanged for a refresh token");
            }
        } else {
            let has_other = has_refresh || refresh.as_ref().is_some_and(|field| Said::of(&field.value) == Said::Masked);
            let is_code = |field: &Field| !matches!(Said::of(&field.value), Said::Placeholder | Said::Structure);
            match code {
                Some(field) if needs_grant && !has_other => self.ask_for_grant(&field, refresh, &secret),
                // A mask stands for a token that is there; who sends a code wants another one.
                Some(field) if needs_grant && !has_refresh && !is_code(&field) => {
                    self.section.ask(&field.place, "it is no code: give consent and send its code, or a refresh token");
                    self.put(refresh, &secret, "refresh_token", needs_grant);
                }
                code => {
                    if let Some(field) = code {
                        self.section.dropped(&field.place, "it is used once; the refresh token is used");
                    }
                    if needs_grant || refresh.is_some() {
                        self.put(refresh, &secret, "refresh_token", needs_grant);
                    }
                }
            }
        }
        for name in ["oauth.user.token", "oauth.user.refresh_time", "oauth.user.refresh_interval"] {
            if let Some(field) = self.settings.take(name) {
                self.section.dropped(&field.place, "access tokens are requested when they are needed");
            }
        }
        let secret_ref = SecretRef { name: secret };
        let mut auth = Oauth2 {
            grant: None,
            token_url: self.endpoint("oauth.token.url"),
            authorization_url: self.endpoint("oauth.authorization.url"),
            issuer: None,
            scopes: Vec::new(),
            audience: None,
            extra_parameters: std::collections::BTreeMap::new(),
            client_authentication: None,
            jwt: None,
            token_response: None,
            refresh: None,
            secret_ref,
        };
        self.scopes(&mut auth);
        if let Some(field) = self.settings.take("oauth.basic.header") {
            let switch = switch(&field.value);
            let place = if switch == Some(true) { ClientPlace::Basic } else { ClientPlace::Body };
            auth.client_authentication = Some(ClientAuthentication { code: Some(place), refresh: None });
            let text = format!("auth.oauth2.clientAuthentication.code: {place:?}");
            if switch.is_none() && Said::of(&field.value) != Said::Nothing {
                self.section.ask(&field.place, format!("{NO_SWITCH}: {text}"));
            } else {
                self.section.changed(&field.place, text);
            }
        }
        self.draft.spec.auth = Some(Auth::Oauth2(Box::new(auth)));
    }

    /// The code that the input names is none, and there is no refresh token either.
    fn ask_for_grant(&mut self, code: &Field, refresh: Option<Field>, secret: &str) {
        if let Some(field) = refresh {
            self.section.dropped(&field.place, "it has no value");
        }
        self.draft.secrets.put(secret, "refresh_token", None);
        self.section.ask(
            &code.place,
            format!("it is no code: give consent and send its code, or a refresh token (Secret {secret}, key refresh_token)"),
        );
    }

    fn code(&mut self, code: Option<Field>, secret: &str) {
        let Some(field) = code else { return };
        if let Said::Text(text) = Said::of(&field.value) {
            self.draft.secrets.put(secret, "code", Some(text));
        }
        self.section.changed(
            &field.place,
            format!("Secret {secret}, key code; a code is used once and lives for minutes: if it is spent, give consent again"),
        );
        if let Some(field) = self.settings.take("oauth.callback.url") {
            match Said::of(&field.value) {
                Said::Text(text) => {
                    self.draft.secrets.put(secret, "redirect_uri", Some(text));
                    self.section.kept(&field.place, format!("Secret {secret}, key redirect_uri, for the exchange of the code"));
                }
                _ => self.section.dropped(&field.place, "it has no value"),
            }
        }
    }

    /// An endpoint that a manifest takes.
    fn endpoint(&mut self, name: &str) -> Option<String> {
        let field = self.settings.take(name)?;
        match Said::of(&field.value) {
            Said::Text(text) if is_endpoint(&text) => {
                self.section.kept(&field.place, "auth.oauth2");
                Some(text)
            }
            Said::Nothing => {
                self.section.dropped(&field.place, "it has no value");
                None
            }
            _ => {
                self.section
                    .ask(&field.place, "it is not an http or https URL without placeholders and secrets, and was left out");
                None
            }
        }
    }

    fn scopes(&mut self, auth: &mut Oauth2) {
        for name in ["oauth.scope", "oauth.scopes"] {
            let Some(field) = self.settings.take(name) else { continue };
            match Said::of(&field.value) {
                Said::Text(text) => {
                    let mut is_whole = true;
                    for scope in text.split([' ', ',']).filter(|scope| !scope.is_empty()) {
                        if auth.scopes.iter().any(|other| other == scope) {
                            continue;
                        }
                        if auth.scopes.len() < 64 && scope.len() <= 256 {
                            auth.scopes.push(scope.to_owned());
                        } else {
                            is_whole = false;
                        }
                    }
                    if is_whole {
                        self.section.changed(&field.place, "auth.oauth2.scopes");
                    } else {
                        self.section.adjusted(&field.place, "auth.oauth2.scopes, at most 64 of 256 characters");
                    }
                }
                _ => self.section.dropped(&field.place, "it has no value"),
            }
        }
    }

    fn basic(&mut self) {
        let secret = format!("{}-login", self.draft.name);
        let user = self.settings.take_where(|field| is_user(&field.name));
        let password = self.settings.take_where(|field| is_password(&field.name));
        if user.is_none() && password.is_none() {
            // Some providers take an API key as the user name and no password.
            let key = self.settings.take_where(|field| is_api_key(&field.name));
            self.put(key, &secret, "username", true);
        } else {
            let has_user = user.as_ref().is_some_and(|field| matches!(Said::of(&field.value), Said::Text(_)));
            self.put(user, &secret, "username", true);
            match password {
                // An API key in the place of the user name has no password, which exports write as "null".
                Some(field) if has_user && Said::of(&field.value) == Said::Nothing => {
                    let text = format!("it has no value: the password is empty; if there is one, add it to Secret {secret}");
                    self.section.adjusted(&field.place, text);
                }
                password => {
                    let is_there = password.is_some();
                    self.put(password, &secret, "password", is_there);
                }
            }
        }
        self.draft.spec.auth = Some(Auth::Basic(Basic { secret_ref: SecretRef { name: secret } }));
    }

    fn one_key(&mut self, key: &str, is_meant: fn(&str) -> bool) -> SecretKeyRef {
        let secret = format!("{}-key", self.draft.name);
        let field = self.settings.take_where(|field| is_meant(&field.name.to_ascii_lowercase()));
        self.put(field, &secret, key, true);
        SecretKeyRef { name: secret, key: key.to_owned() }
    }

    /// Puts a setting into a Secret; one that is needed and not there becomes a placeholder.
    fn put(&mut self, field: Option<Field>, secret: &str, key: &str, is_needed: bool) {
        put(self.draft, self.section, field, (secret, key), is_needed);
    }
}

/// Puts a field's value into a Secret under a key, and reports it.
pub(super) fn put(
    draft: &mut Draft,
    section: &mut Section,
    field: Option<Field>,
    (secret, key): (&str, &str),
    is_needed: bool,
) {
    let target = format!("Secret {secret}, key {key}");
    let Some(field) = field else {
        if is_needed {
            draft.secrets.put(secret, key, None);
            section.result(Verdict::ToDo, &target, "the input has no value for it; fill it in");
        }
        return;
    };
    match Said::of(&field.value) {
        Said::Text(text) => {
            draft.secrets.put(secret, key, Some(whole(&field.value).unwrap_or(text)));
            section.kept(&field.place, target);
        }
        Said::Masked => {
            draft.secrets.put(secret, key, None);
            section.field(Verdict::Masked, &field.place, format!("{target}: fill it in"));
        }
        Said::Nothing if !is_needed => section.dropped(&field.place, "it has no value"),
        Said::Nothing | Said::Placeholder | Said::Structure => {
            draft.secrets.put(secret, key, None);
            section.ask(&field.place, format!("{target}: it has no value; fill it in"));
        }
    }
}

/// A password or key may begin or end with blanks; line ends around it come from a file that it was in.
fn whole(value: &serde_json::Value) -> Option<String> {
    Some(value.as_str()?.trim_matches(['\r', '\n']).to_owned())
}

/// An absolute URL that fits `tokenUrl` and shows no secret.
pub(super) fn is_endpoint(text: &str) -> bool {
    let plain = text.len() <= 2048 && !text.contains(['{', '}', '<', '#', ' ']);
    let url = url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    plain
        && url.is_some_and(|url| url.username().is_empty() && !url.query_pairs().any(|(name, value)| is_secret(&name, &value)))
}

fn last(name: &str) -> String {
    name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase()
}

fn is_user(name: &str) -> bool {
    !name.starts_with("event.")
        && (["username", "user.name", "user.username", "user"].contains(&name.to_ascii_lowercase().as_str())
            || ["username", "login", "userid", "user_name"].contains(&last(name).as_str()))
}

fn is_password(name: &str) -> bool {
    !name.starts_with("event.") && ["password", "passwd", "pwd"].contains(&last(name).as_str())
}

fn is_api_key(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let own = name.starts_with("event.") || name.starts_with("oauth.") || name.starts_with("bulk.");
    let plain = plain(&name);
    let endings = ["apikey", "apitoken", "accesstoken", "accesskey", "secretkey", "authtoken", "privatekey", "securitytoken"];
    !own && (endings.iter().any(|ending| plain.ends_with(ending)) || ["key", "token", "apikey"].contains(&last(&name).as_str()))
}
