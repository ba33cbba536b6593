//! The token with which the next poll continues, as it is kept. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::plan::delta::DeltaPlan;

/// A token or URL of the provider, and the request that it was made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeltaToken {
    scope: u64,
    text: Box<str>,
}

/// Not a text that was written by [`DeltaToken`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not a stored token")]
pub struct NotAToken;

impl DeltaToken {
    /// A token that a listing of this plan ended with.
    pub fn new(plan: &DeltaPlan, text: String) -> Self {
        Self { scope: plan.scope, text: text.into() }
    }

    /// The token, if it is one for this plan: another request must not be asked with it.
    pub fn text_for(&self, plan: Option<&DeltaPlan>) -> Option<&str> {
        (plan?.scope == self.scope).then_some(&*self.text)
    }
}

/// `00000000000000ff:text`
impl fmt::Display for DeltaToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}:{}", self.scope, self.text)
    }
}

impl FromStr for DeltaToken {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        let (scope, text) = text.split_once(':').ok_or(NotAToken)?;
        let scope = u64::from_str_radix(scope, 16).map_err(|_| NotAToken)?;
        Ok(Self { scope, text: text.into() })
    }
}

impl Serialize for DeltaToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DeltaToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::ValueAt;
    use crate::plan::delta::DeltaForm;

    #[test]
    fn a_token_is_kept_to_the_letter_and_holds_for_its_request() {
        let from = ValueAt::Header(http::HeaderName::from_static("x-next"));
        let plan = DeltaPlan { from, form: DeltaForm::Link, expired: None, scope: 0xff };
        let token = DeltaToken::new(&plan, "https://api.example.com/delta?t=a:b\u{e9}\"".to_owned());
        let text = serde_json::to_string(&token).unwrap();
        assert!(text.starts_with("\"00000000000000ff:https://"), "{text}");
        assert_eq!(serde_json::from_str::<DeltaToken>(&text).unwrap(), token);
        assert!(token.text_for(Some(&plan)).is_some());
        let other = DeltaPlan { scope: 0xfe, ..plan };
        assert_eq!((token.text_for(Some(&other)), token.text_for(None)), (None, None));
        for damaged in ["", "abc", "x:1"] {
            assert_eq!(damaged.parse::<DeltaToken>(), Err(NotAToken), "{damaged}");
        }
    }
}
