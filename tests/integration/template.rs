//! The deployment template as a tree.

use std::collections::BTreeSet;

use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde_json::{Map, Value, json};

use crate::house::read;

/// Returns `template.yaml` as JSON. A tag becomes CloudFormation's long form: `!Ref Api` is `{"Ref":"Api"}`, and
/// `!GetAtt Queue.Arn` is `{"Fn::GetAtt":"Queue.Arn"}`.
pub(crate) fn template() -> Value {
    let text = read("template.yaml");
    let documents = Yaml::load_from_str(&text).unwrap();
    let [document] = documents.as_slice() else { panic!("template.yaml has {} documents", documents.len()) };
    to_json(document)
}

fn to_json(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => json!(value),
        Yaml::Value(Scalar::Integer(value)) => json!(value),
        Yaml::Value(Scalar::FloatingPoint(value)) => json!(value.into_inner()),
        Yaml::Value(Scalar::String(value)) => json!(value),
        Yaml::Sequence(items) => items.iter().map(to_json).collect(),
        Yaml::Mapping(members) => {
            let name = |key: &Yaml<'_>| key.as_str().unwrap_or_else(|| panic!("{key:?} is no name")).to_owned();
            Value::Object(members.iter().map(|(key, value)| (name(key), to_json(value))).collect())
        }
        Yaml::Tagged(tag, value) => {
            let function = match tag.suffix.as_str() {
                name @ ("Ref" | "Condition") => name.to_owned(),
                name => format!("Fn::{name}"),
            };
            Value::Object(Map::from_iter([(function, to_json(value))]))
        }
        other => panic!("template.yaml has {other:?}"),
    }
}

/// A resource of the template.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    pub(crate) name: String,
    pub(crate) body: Value,
}

impl Resource {
    /// Returns a property; null if the resource does not have the property.
    pub(crate) fn property(&self, name: &str) -> &Value {
        &self.body["Properties"][name]
    }

    /// Returns all values of a member, at any depth.
    pub(crate) fn values(&self, member: &str) -> Vec<&Value> {
        let mut found = Vec::new();
        collect_values(&self.body, member, &mut found);
        found
    }

    /// Returns the only value of a member, at any depth.
    pub(crate) fn value(&self, member: &str) -> &Value {
        let values = self.values(member);
        assert_eq!(values.len(), 1, "{member} in {}", self.name);
        values[0]
    }

    pub(crate) fn number(&self, member: &str) -> u64 {
        self.value(member).as_u64().unwrap_or_else(|| panic!("{member} is no number in {}", self.name))
    }

    pub(crate) fn text(&self, member: &str) -> &str {
        self.value(member).as_str().unwrap_or_else(|| panic!("{member} is no text in {}", self.name))
    }

    /// Returns whether a key or a text of the resource contains `part`.
    pub(crate) fn contains(&self, part: &str) -> bool {
        self.body.to_string().contains(part)
    }
}

fn collect_values<'a>(tree: &'a Value, member: &str, found: &mut Vec<&'a Value>) {
    match tree {
        Value::Object(members) => {
            for (name, value) in members {
                if name == member {
                    found.push(value);
                }
                collect_values(value, member, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_values(item, member, found)),
        _ => {}
    }
}

/// Returns the template's resources of one type.
pub(crate) fn resources(kind: &str) -> Vec<Resource> {
    let template = template();
    let resources = template["Resources"].as_object().unwrap().iter();
    let of_kind = resources.filter(|(_, body)| body["Type"] == kind);
    of_kind.map(|(name, body)| Resource { name: name.clone(), body: body.clone() }).collect()
}

/// A function of the template.
#[derive(Debug)]
pub(crate) struct Function {
    /// Its folder in `functions/`, and the prefix of its event files.
    pub(crate) folder: String,
    /// Its binary and package.
    pub(crate) binary: String,
    /// The types of its event sources.
    pub(crate) events: BTreeSet<String>,
    /// Its methods and paths.
    pub(crate) routes: Vec<[String; 2]>,
    /// Its resource in the template.
    pub(crate) resource: Resource,
}

impl Function {
    pub(crate) fn is_http(&self) -> bool {
        !self.routes.is_empty()
    }
}

/// Returns the method and path of an HTTP API event; none for the catch-all route, which names neither.
fn route(event: &Value) -> Option<[String; 2]> {
    let properties = &event["Properties"];
    if *properties == json!({ "ApiId": { "Ref": "Api" } }) {
        return None;
    }
    let [method, path] = ["Method", "Path"].map(|name| properties[name].as_str().unwrap().to_owned());
    assert_eq!(*properties, json!({ "ApiId": { "Ref": "Api" }, "Method": method, "Path": path }));
    Some([method, path])
}

pub(crate) fn functions() -> Vec<Function> {
    let function = |resource: Resource| {
        let code = resource.text("CodeUri");
        let folder = code.strip_prefix("functions/").unwrap_or_else(|| panic!("{code} is in functions/")).to_owned();
        let events: Vec<&Value> = resource.property("Events").as_object().unwrap().values().collect();
        let calls: Vec<_> = events.iter().filter(|event| event["Type"] == "HttpApi").collect();
        let routes: Vec<[String; 2]> = calls.iter().filter_map(|event| route(event)).collect();
        assert_eq!(calls.len() - routes.len(), usize::from(folder == "session"), "catch-all routes of {folder}");
        Function {
            folder,
            binary: resource.text("Binary").to_owned(),
            events: events.iter().map(|event| event["Type"].as_str().unwrap().to_owned()).collect(),
            routes,
            resource: resource.clone(),
        }
    };
    resources("AWS::Serverless::Function").into_iter().map(function).collect()
}

/// Returns the default of a template parameter.
pub(crate) fn default_of(parameter: &str) -> Value {
    template()["Parameters"][parameter]["Default"].clone()
}
