//! JSON objects are taken as objects alone.
//!
//! A `Deserialize` that serde derives for a struct takes a list of the fields' values too, in their order. The API's document knows
//! objects only, and so does the API: [`Objects`] stands around a deserializer and refuses such a list wherever a struct is expected,
//! at any depth.

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};

/// A deserializer that gives a struct nothing but an object.
pub(super) struct Objects<D>(pub(super) D);

/// Forwards the named methods; what a method takes beside the visitor stands behind its name.
macro_rules! forward {
    ($($method:ident($($argument:ident: $kind:ty),*) $is_struct:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, $($argument: $kind,)* visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method($($argument,)* Inner { of: visitor, is_struct: $is_struct })
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Objects<D> {
    type Error = D::Error;

    forward! {
        deserialize_any() false; deserialize_bool() false; deserialize_i8() false; deserialize_i16() false; deserialize_i32() false;
        deserialize_i64() false; deserialize_u8() false; deserialize_u16() false; deserialize_u32() false; deserialize_u64() false;
        deserialize_f32() false; deserialize_f64() false; deserialize_char() false; deserialize_str() false; deserialize_string() false;
        deserialize_bytes() false; deserialize_byte_buf() false; deserialize_option() false; deserialize_unit() false;
        deserialize_unit_struct(name: &'static str) false; deserialize_newtype_struct(name: &'static str) false; deserialize_seq() false;
        deserialize_tuple(length: usize) false; deserialize_tuple_struct(name: &'static str, length: usize) false;
        deserialize_map() false; deserialize_struct(name: &'static str, fields: &'static [&'static str]) true;
        deserialize_enum(name: &'static str, variants: &'static [&'static str]) false; deserialize_identifier() false;
        deserialize_ignored_any() false;
    }
}

/// What stands inside of what [`Objects`] reads: a visitor, an access or a seed whose own parts are read by [`Objects`] again.
struct Inner<T> {
    of: T,
    is_struct: bool,
}

impl<T> Inner<T> {
    fn new(of: T) -> Self {
        Self { of, is_struct: false }
    }
}

macro_rules! visit {
    ($($method:ident: $kind:ty;)*) => {$(
        fn $method<E: Error>(self, value: $kind) -> Result<V::Value, E> {
            self.of.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Inner<V> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        if self.is_struct { formatter.write_str("an object") } else { self.of.expecting(formatter) }
    }

    visit! { visit_bool: bool; visit_i64: i64; visit_u64: u64; visit_f64: f64; visit_str: &str; visit_borrowed_str: &'de str; visit_string: String; }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.of.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.of.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<V::Value, D::Error> {
        self.of.visit_some(Objects(value))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, value: D) -> Result<V::Value, D::Error> {
        self.of.visit_newtype_struct(Objects(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<V::Value, A::Error> {
        if self.is_struct {
            return Err(Error::invalid_type(Unexpected::Seq, &self));
        }
        self.of.visit_seq(Inner::new(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.of.visit_map(Inner::new(map))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, choice: A) -> Result<V::Value, A::Error> {
        self.of.visit_enum(Inner::new(choice))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Inner<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<S::Value, D::Error> {
        self.of.deserialize(Objects(value))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Inner<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.of.next_element_seed(Inner::new(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.of.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Inner<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.of.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.of.next_value_seed(Inner::new(seed))
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Inner<A> {
    type Error = A::Error;
    type Variant = Inner<A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        self.of.variant_seed(seed).map(|(name, variant)| (name, Inner::new(variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Inner<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.of.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.of.newtype_variant_seed(Inner::new(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.of.tuple_variant(length, Inner::new(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.of.struct_variant(fields, Inner { of: visitor, is_struct: true })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::Objects;

    #[derive(Deserialize, Debug, PartialEq)]
    struct Whole {
        parts: Vec<Part>,
        one: Option<Part>,
        named: BTreeMap<String, Part>,
        choice: Choice,
        text: Wrapped,
    }

    #[derive(Deserialize, Debug, PartialEq, Clone)]
    struct Part {
        key: String,
        #[serde(default)]
        number: u64,
    }

    #[derive(Deserialize, Debug, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Choice {
        Part(Part),
        Fields { key: String },
        Pair(u64, bool),
        None,
    }

    #[derive(Deserialize, Debug, PartialEq)]
    struct Wrapped(String);

    fn read(text: &str) -> Result<Whole, String> {
        let mut source = serde_json::Deserializer::from_str(text);
        Whole::deserialize(Objects(&mut source)).map_err(|error| error.to_string())
    }

    fn whole(parts: &str, one: &str, named: &str, choice: &str) -> String {
        format!(r#"{{"parts": [{parts}], "one": {one}, "named": {{"a": {named}}}, "choice": {choice}, "text": "t"}}"#)
    }

    #[test]
    fn objects_are_read_at_any_depth() {
        let part = Part { key: "k".into(), number: 3 };
        let object = r#"{"key": "k", "number": 3}"#;
        for (choice, read_as) in [
            (&*format!(r#"{{"part": {object}}}"#), Choice::Part(part.clone())),
            (r#"{"fields": {"key": "k"}}"#, Choice::Fields { key: "k".into() }),
            (r#"{"pair": [1, true]}"#, Choice::Pair(1, true)),
            (r#""none""#, Choice::None),
        ] {
            let whole = read(&whole(object, object, object, choice)).unwrap();
            assert_eq!((&whole.parts[0], whole.one.as_ref(), &whole.named["a"]), (&part, Some(&part), &part));
            assert_eq!((whole.choice, whole.text), (read_as, Wrapped("t".into())));
        }
        assert_eq!(read(&whole("", "null", object, r#""none""#)).unwrap().one, None);
    }

    #[test]
    fn a_list_in_the_place_of_an_object_is_refused_at_any_depth() {
        let (object, list, none) = (r#"{"key": "k"}"#, r#"["k", 3]"#, r#""none""#);
        assert_eq!(serde_json::from_str::<Part>(list).unwrap().number, 3, "serde alone takes it");
        for text in [
            whole(list, "null", object, none),
            whole("", list, object, none),
            whole("", "null", list, none),
            whole("", "null", object, &format!(r#"{{"part": {list}}}"#)),
            whole("", "null", object, r#"{"fields": ["k"]}"#),
        ] {
            let why = read(&text).unwrap_err();
            assert!(why.starts_with("invalid type: sequence, expected an object"), "{text}: {why}");
        }
    }
}
