//! What a scalar means: the rules of go-yaml v2, which are those of YAML 1.1 with its own exceptions.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::number;

/// What libyaml makes of `!!`.
const STANDARD_TAGS: &str = "tag:yaml.org,2002:";

/// The value of a scalar. `plain` is false for quoted and block scalars, which are text unless a tag says otherwise.
///
/// # Errors
/// The text is not what its tag says, or JSON cannot hold it. The message shows nothing of it.
pub(super) fn value(tag: Option<&str>, plain: bool, text: &str) -> Result<Value, &'static str> {
    let tag = tag.map(|tag| tag.strip_prefix(STANDARD_TAGS).unwrap_or(tag));
    let wanted = match tag {
        None if plain => "",
        Some("binary") => return binary(text),
        Some(tag @ ("bool" | "int" | "float" | "null")) => tag,
        // Quotes, `!!str`, and unknown tags.
        _ => return Ok(text.into()),
    };
    let value = resolve(text)?;
    let given = match &value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        _ => "str",
    };
    // Whole numbers are integers by now, however they were written.
    let fits = wanted.is_empty() || wanted == given || (wanted == "float" && given == "int");
    if fits { Ok(value) } else { Err("a value is not of the type that its tag (!!…) says") }
}

/// Standard Base64, as a text: JSON has no other place for bytes.
fn binary(text: &str) -> Result<Value, &'static str> {
    let packed: String = text.split(['\r', '\n']).collect();
    let bytes = STANDARD.decode(packed).map_err(|_| "a value with the tag !!binary is not Base64")?;
    Ok(String::from_utf8_lossy(&bytes).into())
}

fn resolve(text: &str) -> Result<Value, &'static str> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Ok(true.into()),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Ok(false.into()),
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF" => {
            return number(f64::INFINITY);
        }
        _ => {}
    }
    match text.as_bytes().first() {
        Some(b'0'..=b'9' | b'+' | b'-') => {
            // 1_000 is a thousand.
            let digits = text.replace('_', "");
            integer(&digits).or_else(|| float(&digits)).unwrap_or_else(|| Ok(text.into()))
        }
        Some(b'.') => float(text).unwrap_or_else(|| Ok(text.into())),
        _ => Ok(text.into()),
    }
}

/// An integer as a Go program writes it: 0x, 0o or a mere 0, and 0b. Beyond 64 bits it is none.
fn integer(text: &str) -> Option<Result<Value, &'static str>> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => ("-", &text[1..]),
        b'+' => ("+", &text[1..]),
        _ => ("", text),
    };
    let base = |prefix: char| digits.strip_prefix('0')?.strip_prefix([prefix, prefix.to_ascii_uppercase()]);
    let (radix, digits) = if let Some(digits) = base('x') {
        (16, digits)
    } else if let Some(digits) = base('o') {
        (8, digits)
    } else if let Some(digits) = base('b') {
        (2, digits)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (8, &digits[1..])
    } else {
        (10, digits)
    };
    // Those of the standard library take a second sign.
    if !digits.bytes().all(|digit| digit.is_ascii_alphanumeric()) {
        return None;
    }
    let signed = i64::from_str_radix(&format!("{}{digits}", if sign == "-" { "-" } else { "" }), radix).map(|n| json!(n));
    let value =
        signed.or_else(|error| if sign.is_empty() { u64::from_str_radix(digits, radix).map(|n| json!(n)) } else { Err(error) });
    value.ok().map(Ok)
}

/// A decimal fraction, with or without exponent; one that no float can hold is a text.
fn float(text: &str) -> Option<Result<Value, &'static str>> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).map_or((unsigned, None), |(m, e)| (m, Some(e)));
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_number = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
    let exponent = exponent.map(|exponent| exponent.strip_prefix(['+', '-']).unwrap_or(exponent));
    if !is_number(whole)
        || !is_number(part)
        || (whole.is_empty() && part.is_empty())
        || exponent.is_some_and(|exponent| exponent.is_empty() || !is_number(exponent))
    {
        return None;
    }
    text.parse().ok().filter(|value: &f64| value.is_finite()).map(number)
}
