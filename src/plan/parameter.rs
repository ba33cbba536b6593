//! What the declaration of a parameter says about its value.

use regex::{Regex, RegexBuilder};

use super::problems::invalid;
use crate::api::conditions::Problem;
use crate::api::connector::Parameter;

/// Most bytes of a compiled pattern. Matching takes linear time whatever the pattern is.
const LONGEST_PATTERN: usize = 256 * 1024;

/// Refuses a value that its declaration does not allow.
pub(super) fn check(parameter: &Parameter, value: &str) -> Result<(), Problem> {
    let name = &parameter.name;
    if !parameter.one_of.is_empty() && !parameter.one_of.iter().any(|possible| possible == value) {
        return Err(invalid(format!("spec.parameters.{name} must be one of: {}", parameter.one_of.join(", "))));
    }
    match (pattern(parameter)?, &parameter.pattern) {
        (Some(compiled), Some(pattern)) if !compiled.is_match(value) => {
            Err(invalid(format!("spec.parameters.{name} must match {pattern}{}", described(parameter))))
        }
        _ => Ok(()),
    }
}

/// The pattern of the whole value, if there is one.
///
/// # Errors
/// It cannot be compiled.
pub(super) fn pattern(parameter: &Parameter) -> Result<Option<Regex>, Problem> {
    let Some(pattern) = &parameter.pattern else { return Ok(None) };
    // By itself first: what is not a pattern might become another one by what is put around it.
    let compile = |pattern: &str| RegexBuilder::new(pattern).size_limit(LONGEST_PATTERN).build();
    compile(pattern).and_then(|_| compile(&format!("^(?:{pattern})$"))).map(Some).map_err(|_| {
        invalid(format!(
            "spec.parameters.{} cannot be checked: its pattern in the connector is not a regular expression, or too large; correct the \
             pattern",
            parameter.name
        ))
    })
}

/// A parameter that an instance has to give.
pub(super) fn missing(parameter: &Parameter) -> Problem {
    invalid(format!("spec.parameters.{} is required by the connector{}", parameter.name, described(parameter)))
}

/// What to put there, as the end of a sentence.
fn described(parameter: &Parameter) -> String {
    let described = parameter.description.as_deref().map(|text| format!(": {}", text.trim_end_matches('.')));
    described.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(parameter: &Parameter, value: &str) -> Option<String> {
        check(parameter, value).err().map(|problem| problem.message)
    }

    #[test]
    fn a_pattern_is_that_of_the_whole_value() {
        let parameter = Parameter {
            name: "dc".into(),
            pattern: Some("us[0-9]+|eu".into()),
            description: Some("The data center.".into()),
            ..Parameter::default()
        };
        for value in ["us1", "us21", "eu"] {
            assert_eq!(told(&parameter, value), None, "{value}");
        }
        for value in ["", "us", "us1x", "xeu", "eu.evil.example", "eu\n", "EU"] {
            let expected = "spec.parameters.dc must match us[0-9]+|eu: The data center";
            assert_eq!(told(&parameter, value).as_deref(), Some(expected), "{value}");
        }
    }

    #[test]
    fn a_value_is_one_of_those_that_are_possible() {
        let parameter = Parameter { name: "region".into(), one_of: vec!["eu".into(), "us".into()], ..Parameter::default() };
        assert_eq!(told(&parameter, "us"), None);
        for value in ["", "US", "eu, us"] {
            assert_eq!(told(&parameter, value).as_deref(), Some("spec.parameters.region must be one of: eu, us"), "{value}");
        }
        let both = Parameter { pattern: Some("e.".into()), ..parameter };
        assert_eq!(told(&both, "eu"), None);
        assert_eq!(told(&both, "us").as_deref(), Some("spec.parameters.region must match e."));
    }

    #[test]
    fn a_pattern_that_is_none_is_named() {
        for pattern in ["(", "a)|(?:b", "[a-z", "(?:a{1000}){1000}", "(?=a)"] {
            let parameter = Parameter { name: "p".into(), pattern: Some(pattern.into()), ..Parameter::default() };
            let told = told(&parameter, "a").unwrap_or_else(|| panic!("{pattern}"));
            assert!(
                told.starts_with("spec.parameters.p cannot be checked: ") && told.ends_with("correct the pattern"),
                "{told}"
            );
        }
    }
}
