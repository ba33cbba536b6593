use proptest::prelude::*;

use super::compile::compile;
use super::*;

const RECORD: &str = r#"{"id":9007199254740993,"status":"open","amount":12.50,"huge":123456789012345678901234567890,"tags":["a","b"],
"lines":[{"n":1,"sku":"x"},{"n":2}],"owner":{"name":"Ann","mail":null},"at":"2026-01-02T03:04:05Z","on":true,"e\u00e9":"\u00e9"}"#;

fn is_true(text: &str) -> Result<bool, String> {
    let expression = Expression::compile(text).map_err(|error| error.to_string())?;
    expression.is_true(RECORD).map_err(|failure| format!("{failure:?}"))
}

#[test]
fn expressions_say_what_cel_says() {
    for (text, expected) in [
        ("record.status == 'open'", true),
        ("record.status != 'draft'", true),
        ("record.status in ['open', 'won']", true),
        ("record.id == 9007199254740993", true),
        ("record.id == 9007199254740992", false),
        ("string(record.huge) == '123456789012345678901234567890'", true),
        ("record.huge > 1e29", true),
        ("record.amount >= 12.5 && record.amount < 13", true),
        ("record.amount * 2 == 25", true),
        ("has(record.owner.name) && !has(record.owner.phone)", true),
        ("has(record.nothing)", false),
        ("record.owner.mail == null", true),
        ("record.owner['name'].lowerAscii() == \"ann\"", true),
        ("record.tags.exists(tag, tag == 'b')", true),
        ("record.tags.all(tag, tag.size() == 1)", true),
        ("record.tags.exists_one(tag, tag > 'a')", true),
        ("record.tags.map(tag, tag + '!') == ['a!', 'b!']", true),
        ("record.tags.filter(tag, tag != 'a').size() == 1", true),
        ("record.lines.map(line, line.n * 2)[1] == 4", true),
        ("record.lines.exists(line, line.sku == 'x')", true),
        ("record.lines.exists(line, line.sku == 'y' || line.n == 2)", true),
        ("record.lines.all(a, record.lines.exists(b, a.n == b.n))", true),
        ("'name' in record.owner && !('x' in record.owner)", true),
        ("size(record.tags) + size(record.owner) == 4", true),
        ("record.status.matches('^o.*n$') && matches(record.status, 'pe')", true),
        ("record.status.startsWith('op') && record.status.endsWith('en') && record.status.contains('pe')", true),
        ("timestamp(record.at) > timestamp('2026-01-01T00:00:00Z')", true),
        ("timestamp(record.at) - timestamp('2026-01-02T03:00:00Z') == duration('4m5s')", true),
        ("int(timestamp(record.at)) == 1767323045", true),
        ("record.on ? record.tags == ['a', 'b'] : false", true),
        ("record.on && record.nothing == 1 || record.status == 'open'", true),
        ("record.nothing == 1 && record.status == 'draft'", false),
        ("1 == 1.0 && 1u == 1 && '1' != 1", true),
        ("7 / 2 == 3 && -7 % 3 == -1 && 7.0 / 2 == 3.5", true),
        ("int('42') + int(1.9) == 43 && double('1.5') == 1.5", true),
        ("{'a': 1, 'b': 2}['b'] == 2", true),
        ("record.lines == [{'sku': 'x', 'n': 1.0}, {'n': 2}]", true),
        ("record['eé'] == 'é'", true),
        ("r'\\d' == '\\\\d' && \"\"\"a\"\"\" == 'a'", true),
    ] {
        assert_eq!(is_true(text), Ok(expected), "{text}");
    }
}

#[test]
fn what_cannot_be_decided_is_neither() {
    for (text, expected) in [
        ("record.nothing == 1", r#"Missing("nothing")"#),
        ("record.owner.phone.size() > 1", r#"Missing("phone")"#),
        ("record.nothing == 1 || record.status == 'draft'", r#"Missing("nothing")"#),
        ("record.lines.all(line, line.sku == 'x')", r#"Missing("sku")"#),
        ("has(record.nothing.more)", r#"Missing("nothing")"#),
        ("record.status.name == 1", "Types"),
        ("record.status > 1", "Types"),
        ("record.status + 1 == 2", "Types"),
        ("record.tags[2] == 'c'", "Index"),
        ("record.status", "NotBoolean"),
        ("int(record.status) == 1", "Conversion"),
        ("timestamp(record.status) > timestamp(0)", "Conversion"),
        ("9223372036854775807 + 1 > 0", "Overflow"),
        ("1 / 0 == 1", "Overflow"),
        ("record.id * record.id > 0", "Overflow"),
        ("record.on ? record.status : true", "NotBoolean"),
    ] {
        assert_eq!(is_true(text), Err(expected.to_owned()), "{text}");
    }
}

#[test]
fn what_is_wrong_with_a_text_is_told_with_its_place() {
    for (text, expected) in [
        (" ", "is empty; write an expression such as record.status != 'draft', or leave it out"),
        ("status == 'x'", "has an unknown variable status at column 1; the only variable is record, as in record.status"),
        ("record.a == 1 && b", "has an unknown variable b at column 18; the only variable is record, as in record.b"),
        ("record.a.matches('(')", "calls matches at column 10 with a pattern that is not a regular expression (RE2) in quotes"),
        ("record.a.contains()", "calls contains with 1 arguments at column 10, which takes 2"),
        ("record.a == b'x'", "uses a constant of bytes, which is not supported"),
        ("Foo{a: 1} == 1", "uses a message type, which is not supported"),
    ] {
        assert_eq!(is_true(text), Err(expected.to_owned()), "{text}");
    }
    let unknown = is_true("record.a.foo() == 1").unwrap_err();
    assert!(unknown.starts_with("calls an unknown function foo at column 10; there are size, contains, "), "{unknown}");
    for (text, place) in [
        ("record.a ==", "line 1, column 12"),
        ("record.a = 1", "line 1, column 10"),
        ("record.a == 'x\n", "line 1, column 13"),
        ("record.a == 1 &&\n  && true", "line 2, column 3"),
        ("has(record)", "line 1, column"),
    ] {
        let error = is_true(text).unwrap_err();
        assert!(error.starts_with(&format!("is not a CEL expression: {place}")), "{text}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

/// None of these may hang, take the stack or take memory, on a thread as small as those of tests.
#[test]
fn hostile_expressions_are_refused_or_bounded() {
    let many = |text: &str, times: usize| text.repeat(times);
    for text in [
        many("(", 1024),
        format!("{}true{}", many("(", 500), many(")", 500)),
        format!("{}true", many("!", 1000)),
        format!("{}1 == 1", many("-", 1000)),
        format!("{}true", many("true ? true : ", 70)),
        format!("{}true{}", many("[", 500), many("]", 500)),
        format!("{}1 == 1", many("1 + ", 250)),
        format!("record{} == 1", many(".a", 500)),
        format!("record{} == 1", many("[0]", 300)),
        format!("{}true", many("true && ", 120)),
        format!("record.a{} == 1", many(".size()", 140)),
        many("[", 24),
        many("{", 24),
        many("'", 1023),
        many("\\", 1023),
        many("a", 1025),
    ] {
        let _ = is_true(&text);
    }
    let chain = |start: &str, link: &str, times: usize| format!("{start}{}.size() > 0", many(link, times));
    for text in [
        chain("['aaaaaaaa']", ".map(x, x + x)", 60),
        chain("[record.tags]", ".map(x, x + x)", 60),
        chain("[record.tags]", ".map(x, x + x + x)", 40),
    ] {
        assert_eq!(is_true(&text), Err("Costly".to_owned()), "{text}");
    }
    let record = format!(r#"{{"l":[{}0]}}"#, many("0,", 5_000));
    let all = |inner: &str| format!("record.l.all(x, {inner})");
    let text = all(&all(&all("x == 0")));
    let expression = Expression::compile(&text).unwrap();
    assert_eq!(expression.is_true(&record), Err(Failure::Costly));
    let absorbed = Expression::compile(&format!("{text} || true")).unwrap();
    assert_eq!(absorbed.is_true(&record), Err(Failure::Costly), "what was not looked at to its end decides nothing");
    assert_eq!(Expression::compile(&all("x >= 0 && x <= 1 && x != 7")).unwrap().is_true(&record), Ok(true));
}

#[test]
fn the_same_text_is_compiled_once() {
    let [first, second] = [(); 2].map(|()| Expression::compile("record.once == 1").unwrap());
    assert!(Arc::ptr_eq(&first, &second));
}

/// Values without what JSON and CEL read differently.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        "[a-z ]{0,4}".prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map("[a-z]{1,2}", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// A value equals itself as a constant, and nothing else that differs.
    #[test]
    fn equality_is_that_of_json(one in json(), other in json()) {
        let record = serde_json::json!({"v": one, "w": other}).to_string();
        let same = compile("record.v == record.w").unwrap();
        prop_assert_eq!(evaluate::is_true(&same, &record), Ok(one == other));
        let itself = compile("record.v == record.v && !(record.v != record.v)").unwrap();
        prop_assert_eq!(evaluate::is_true(&itself, &record), Ok(true));
    }

    #[test]
    fn no_text_and_no_record_panics(
        text in r#"([ a-z().\[\]{},:?!&|=<>+*/%'"0-9-]|record|\.all\(x, |\.map\(x, |has\(record\.a|size\(| in | == ){0,14}"#,
        record in json(),
    ) {
        if let Ok(expression) = Expression::compile(&text) {
            let _ = expression.is_true(&record.to_string());
        }
    }
}
