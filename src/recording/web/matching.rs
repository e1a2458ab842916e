//! Which elements of a recorded page a selector finds: what `dialogue/web/page.js` does in a browser, on the recorded page.

use super::html::{Child, Id};
use super::page::{Page, fold};
use crate::template::web::{Combinator, Plan, PlanFilter, PlanStep, Selector, Simple, compound};

impl Page {
    /// What a plan finds in the page, or in the frame that was switched to.
    pub(super) fn find(&self, plan: &Plan) -> Vec<Id> {
        self.evaluate(plan, &[self.frame])
    }

    /// What a selector finds that is written here, without tags.
    pub(super) fn find_css(&self, css: &str) -> Vec<Id> {
        self.find(&plan_of(css))
    }

    /// The element that is meant where several match: what a person sees, else a hidden field, else the first.
    pub(super) fn one(&self, plan: &Plan) -> Option<Id> {
        let found = self.find(plan);
        let shown = found.iter().find(|id| self.is_shown(**id));
        let hidden = found.iter().find(|id| self.document.get(**id).attribute("type") == Some("hidden"));
        shown.or(hidden).or(found.first()).copied()
    }

    /// Whether a person sees it: neither it nor what is around it is `hidden`.
    pub(super) fn is_shown(&self, id: Id) -> bool {
        let element = self.document.get(id);
        let unseen = |id: Id| {
            let element = self.document.get(id);
            element.has("hidden")
                || ["script", "style", "template", "noscript", "head", "title"].contains(&&*element.tag)
        };
        id != 0 && element.attribute("type") != Some("hidden") && !self.document.around(id).any(unseen)
    }

    fn evaluate(&self, plan: &Plan, roots: &[Id]) -> Vec<Id> {
        let mut all = Vec::new();
        for steps in &plan.0 {
            let mut found = roots.to_vec();
            for step in steps {
                let Some(wanted) = compound(&step.css) else { return Vec::new() };
                found = ordered(found.iter().flat_map(|base| self.related(*base, step, &wanted)).collect());
                for filter in &step.filters {
                    found = self.keep(found, filter);
                }
            }
            all.extend(found);
        }
        ordered(all)
    }

    fn related(&self, base: Id, step: &PlanStep, wanted: &[Simple]) -> Vec<Id> {
        let mut found: Vec<Id> = match step.by {
            Combinator::Child => self.document.children(base).collect(),
            Combinator::Descendant => self.document.below(base),
            Combinator::Next | Combinator::Sibling => {
                let parent = self.document.get(base).parent;
                let behind = self.document.children(parent).skip_while(|id| *id <= base);
                behind.take(if step.by == Combinator::Next { 1 } else { usize::MAX }).collect()
            }
        };
        found.retain(|id| self.matches(*id, wanted));
        found
    }

    fn keep(&self, list: Vec<Id>, filter: &PlanFilter) -> Vec<Id> {
        let place = |at: i32| usize::try_from(at).unwrap_or(0);
        let only = |keeps: &dyn Fn(Id) -> bool| list.iter().copied().filter(|id| keeps(*id)).collect();
        match filter {
            PlanFilter::Contains(text) => only(&|id| fold(&self.document.text_of(id, &|_| true)).contains(&fold(text))),
            PlanFilter::Eq(at) if *at < 0 => {
                let from_end = usize::try_from(at.unsigned_abs()).unwrap_or(usize::MAX);
                list.len().checked_sub(from_end).map(|at| list[at]).into_iter().collect()
            }
            PlanFilter::Eq(at) => list.into_iter().skip(place(*at)).take(1).collect(),
            PlanFilter::Lt(at) => list.into_iter().take(place(*at)).collect(),
            PlanFilter::Gt(at) => list.into_iter().skip(place(*at) + 1).collect(),
            PlanFilter::Visible => only(&|id| self.is_shown(id)),
            PlanFilter::Hidden => only(&|id| !self.is_shown(id)),
            PlanFilter::Parent => only(&|id| !self.document.get(id).children.is_empty()),
            PlanFilter::Css(css) if css == ":checked" => only(&|id| self.is_checked(id)),
            PlanFilter::Css(css) => {
                let all = self.evaluate(&plan_of(css), &[self.frame]);
                only(&|id| all.contains(&id))
            }
            PlanFilter::Has(plan) => only(&|id| !self.evaluate(plan, &[id]).is_empty()),
            PlanFilter::Is(plan) => {
                let all = self.evaluate(plan, &[self.frame]);
                only(&|id| all.contains(&id))
            }
            PlanFilter::Not(plan) => {
                let all = self.evaluate(plan, &[self.frame]);
                only(&|id| !all.contains(&id))
            }
        }
    }

    fn matches(&self, id: Id, wanted: &[Simple]) -> bool {
        let element = self.document.get(id);
        wanted.iter().all(|simple| match simple {
            Simple::Any => true,
            Simple::Type(name) => element.tag == name.to_ascii_lowercase(),
            Simple::Id(name) => element.attribute("id") == Some(name),
            Simple::Class(name) => {
                element.attribute("class").is_some_and(|all| all.split_whitespace().any(|class| class == name))
            }
            Simple::Attribute { name, test, any_case } => {
                let Some(value) = element.attribute(&name.to_ascii_lowercase()) else { return false };
                let Some((sign, wanted)) = test else { return true };
                // HTML compares these without regard to case ("Case-sensitivity of selectors").
                let any_case = *any_case || ["type", "method", "checked", "disabled"].contains(&name.as_str());
                let case = |text: &str| if any_case { text.to_lowercase() } else { text.to_owned() };
                holds(sign, &case(value), &case(wanted))
            }
            Simple::Word(word) => self.is(id, word),
        })
    }

    /// Whether a word of CSS is true of an element. What only a browser knows is not.
    fn is(&self, id: Id, word: &str) -> bool {
        let element = self.document.get(id);
        let is_control =
            ["button", "input", "select", "textarea", "option", "fieldset"].contains(&element.tag.as_str());
        let siblings: Vec<Id> = self.document.children(element.parent).collect();
        let alike = || siblings.iter().copied().filter(|other| self.document.get(*other).tag == element.tag);
        let at = |list: &[Id]| list.iter().position(|other| *other == id).map_or(0, |at| at + 1);
        let alike: Vec<Id> = alike().collect();
        let writable = ["input", "textarea"].contains(&element.tag.as_str()) && !self.is_disabled(id);
        match word {
            "disabled" => is_control && self.is_disabled_by_attribute(id),
            "enabled" => is_control && !self.is_disabled_by_attribute(id),
            "required" => element.has("required"),
            "optional" => is_control && !element.has("required"),
            "read-only" => !writable,
            "read-write" => writable,
            "focus" => self.focus == Some(id),
            "link" => element.tag == "a" && element.has("href"),
            "empty" => !element.children.iter().any(|child| match child {
                Child::Element(_) => true,
                Child::Text(text) => !text.is_empty(),
            }),
            "root" => element.parent == 0 && element.tag == "html",
            "first-child" => at(&siblings) == 1,
            "last-child" => at(&siblings) == siblings.len(),
            "only-child" => siblings.len() == 1,
            "first-of-type" => at(&alike) == 1,
            "last-of-type" => at(&alike) == alike.len(),
            "only-of-type" => alike.len() == 1,
            _ => word.split_once('(').is_some_and(|(name, formula)| {
                let formula = formula.trim_end_matches(')');
                let from_end = |list: &[Id]| list.len() + 1 - at(list);
                match name {
                    "nth-child" => counts(formula, at(&siblings)),
                    "nth-last-child" => counts(formula, from_end(&siblings)),
                    "nth-of-type" => counts(formula, at(&alike)),
                    "nth-last-of-type" => counts(formula, from_end(&alike)),
                    _ => false,
                }
            }),
        }
    }
}

/// The plan of a selector without tags; one that finds nothing where it cannot be read.
fn plan_of(css: &str) -> Plan {
    let text = crate::template::Text { pieces: vec![crate::template::Piece::Literal(css.to_owned())] };
    Selector::parse(&text).map_or(Plan(Vec::new()), |selector| selector.plan(|_, _| String::new()))
}

fn ordered(mut list: Vec<Id>) -> Vec<Id> {
    list.sort_unstable();
    list.dedup();
    list
}

/// Whether an attribute's value is as wanted (Selectors Level 4, section 6).
fn holds(sign: &str, value: &str, wanted: &str) -> bool {
    match sign {
        "=" => value == wanted,
        "~=" => !wanted.is_empty() && value.split_whitespace().any(|word| word == wanted),
        "|=" => value == wanted || value.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('-')),
        "^=" => !wanted.is_empty() && value.starts_with(wanted),
        "$=" => !wanted.is_empty() && value.ends_with(wanted),
        "*=" => !wanted.is_empty() && value.contains(wanted),
        _ => false,
    }
}

/// Whether a place, from 1, is one of a formula such as `2n+1` (Selectors Level 4, section 14.3).
fn counts(formula: &str, place: usize) -> bool {
    let formula: String = formula.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_lowercase();
    let place = i64::try_from(place).unwrap_or(i64::MAX);
    let (step, first) = match formula.as_str() {
        "odd" => (2, 1),
        "even" => (2, 0),
        formula => match formula.split_once('n') {
            None => (0, formula.parse::<i64>().unwrap_or(0)),
            Some((step, first)) => {
                let step = match step {
                    "" | "+" => 1,
                    "-" => -1,
                    step => step.parse().unwrap_or(0),
                };
                (step, first.parse().unwrap_or(0))
            }
        },
    };
    let behind = place - first;
    if step == 0 { behind == 0 } else { behind % step == 0 && behind / step >= 0 }
}
