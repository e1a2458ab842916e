//! Whether a document shows a secret, by the browser's own view of it (Chrome DevTools Protocol, `DOM.getDocument` with `pierce`): that
//! has closed shadow trees and the content of fields, which no script of a page reaches.

use serde_json::Value;

/// Elements whose text is not drawn.
const NOT_DRAWN: [&str; 5] = ["HEAD", "SCRIPT", "STYLE", "TEMPLATE", "NOSCRIPT"];
/// What hides an element says so by this attribute.
pub(super) const HIDDEN: &str = "data-rotord-hidden";

/// Where secrets are shown.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Shown {
    /// Elements with one in a closed shadow tree, by their `nodeId`.
    pub(super) hosts: Vec<i64>,
    /// Documents and open trees with one.
    pub(super) elsewhere: usize,
}

impl Shown {
    /// In how many places.
    pub(super) fn count(&self) -> usize {
        self.hosts.len() + self.elsewhere
    }
}

/// Looks a document through.
pub(super) fn find(document: &Value, secrets: &[&str]) -> Shown {
    let wanted = secrets.iter().map(|secret| squeezed(secret)).filter(|secret| !secret.is_empty()).collect();
    let mut look = Look { wanted, shown: Shown::default() };
    look.scope(document);
    look.shown
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect()
}

fn list<'v>(node: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    node.get(name).and_then(Value::as_array).into_iter().flatten()
}

struct Look {
    wanted: Vec<String>,
    shown: Shown,
}

impl Look {
    fn has(&self, text: &str) -> bool {
        self.wanted.iter().any(|secret| text.contains(secret.as_str()))
    }

    /// A document, or what stands for one: its text as a whole, since a secret may stand in pieces.
    fn scope(&mut self, node: &Value) {
        let mut text = String::new();
        if self.walk(node, &mut text) || self.has(&text) {
            self.shown.elsewhere += 1;
        }
    }

    /// Adds the text of a node and of what is below it; tells whether an attribute has a secret.
    fn walk(&mut self, node: &Value, text: &mut String) -> bool {
        let name = node.get("nodeName").and_then(Value::as_str).unwrap_or_default();
        let attributes: Vec<&str> = list(node, "attributes").filter_map(Value::as_str).collect();
        let attribute = |wanted: &str| attributes.chunks_exact(2).find(|pair| pair[0] == wanted).map(|pair| pair[1]);
        if NOT_DRAWN.contains(&name) || attribute(HIDDEN).is_some() {
            return false;
        }
        // What stands in a password field is drawn as dots.
        let is_masked = name == "INPUT" && attribute("type").is_some_and(|kind| kind.eq_ignore_ascii_case("password"));
        let named = |pair: &[&str]| !is_masked || pair[0] != "value";
        let mut found = attributes.chunks_exact(2).any(|pair| named(pair) && self.has(&squeezed(pair[1])));
        if node.get("nodeType").and_then(Value::as_i64) == Some(3) {
            text.push_str(&squeezed(node.get("nodeValue").and_then(Value::as_str).unwrap_or_default()));
        }
        for root in list(node, "shadowRoots") {
            match root.get("shadowRootType").and_then(Value::as_str) {
                Some("closed") => {
                    let before = self.shown.count();
                    self.scope(root);
                    if self.shown.count() > before {
                        // The host is hidden with all that is in it.
                        self.shown.hosts.truncate(before.min(self.shown.hosts.len()));
                        self.shown.elsewhere = before.saturating_sub(self.shown.hosts.len());
                        self.shown.hosts.extend(node.get("nodeId").and_then(Value::as_i64));
                    }
                }
                Some("user-agent") if is_masked => {}
                _ => found |= self.walk(root, text),
            }
        }
        if let Some(document) = node.get("contentDocument") {
            self.scope(document);
        }
        for child in list(node, "children") {
            found |= self.walk(child, text);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(text: &str) -> Value {
        json!({ "nodeType": 3, "nodeName": "#text", "nodeValue": text })
    }

    fn element(name: &str, attributes: &[&str], children: &[Value]) -> Value {
        json!({ "nodeType": 1, "nodeName": name, "attributes": attributes, "children": children })
    }

    fn with_tree(id: i64, kind: &str, children: &[Value]) -> Value {
        json!({ "nodeType": 1, "nodeId": id, "nodeName": "DIV", "attributes": [],
            "shadowRoots": [{ "nodeType": 11, "nodeName": "#document-fragment", "shadowRootType": kind, "children": children }] })
    }

    fn look(children: &[Value]) -> Shown {
        find(&json!({ "nodeType": 9, "nodeName": "#document", "children": children }), &["Needle-11", ""])
    }

    #[test]
    fn a_secret_is_found_in_texts_in_pieces_in_attributes_in_fields_in_frames_and_in_trees() {
        let secret = text("Needle-11");
        for (found, children) in [
            (0, vec![text("nothing")]),
            (1, vec![secret.clone()]),
            (1, vec![element("B", &[], &[text("Nee")]), text(" dle"), element("I", &[], &[text("-11")])]),
            (1, vec![element("INPUT", &["placeholder", "Needle-11"], &[])]),
            (1, vec![with_tree(4, "user-agent", std::slice::from_ref(&secret))]),
            (1, vec![with_tree(4, "open", std::slice::from_ref(&secret))]),
            (0, vec![element("SCRIPT", &[], std::slice::from_ref(&secret))]),
            (0, vec![element("IFRAME", &[HIDDEN, ""], std::slice::from_ref(&secret))]),
            (
                1,
                vec![
                    json!({ "nodeType": 1, "nodeName": "IFRAME", "contentDocument": { "nodeType": 9, "children": [secret] } }),
                ],
            ),
        ] {
            assert_eq!(look(&children), Shown { hosts: Vec::new(), elsewhere: found }, "{children:?}");
        }
    }

    #[test]
    fn the_host_of_a_closed_tree_is_told_and_what_is_in_a_password_field_is_not() {
        let inner = with_tree(7, "closed", &[text("Needle-11")]);
        assert_eq!(look(std::slice::from_ref(&inner)), Shown { hosts: vec![7], elsewhere: 0 });
        assert_eq!(
            look(&[with_tree(5, "closed", std::slice::from_ref(&inner))]),
            Shown { hosts: vec![5], elsewhere: 0 }
        );
        let both = look(&[text("Needle-11"), inner, with_tree(8, "closed", &[text("calm")])]);
        assert_eq!((both.hosts.as_slice(), both.elsewhere, both.count()), ([7].as_slice(), 1, 2));
        let mut field = with_tree(9, "user-agent", &[text("Needle-11")]);
        field["nodeName"] = "INPUT".into();
        field["attributes"] = json!(["type", "password", "value", "Needle-11"]);
        assert_eq!(look(&[field]).count(), 0);
    }
}
