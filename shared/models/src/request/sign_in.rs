//! The request that signs a user in.

use std::fmt;

use serde_json::Value;

use crate::invalid::{Invalid, shown};
use crate::request::fields::Fields;
use crate::request::{RequestBody, bodies};
use crate::sign_in::Email;
use crate::values::id::PortalId;

/// Fields of ONLYOFFICE's sign-in for features that do not exist here, with the reason. ONLYOFFICE's generated clients
/// send every field, so each field is accepted while it is blank.
pub(super) const NOT_OFFERED: &[(&str, &str)] = &[
    ("provider", ONLY_PASSWORDS),
    ("accessToken", ONLY_PASSWORDS),
    ("serializedProfile", ONLY_PASSWORDS),
    ("codeOAuth", ONLY_PASSWORDS),
    ("type", ONLY_PASSWORDS),
    ("passwordHash", "send the password itself in the field password"),
    ("session", "every token expires at a fixed time, which the answer shows in expires"),
    ("confirmData", "there are no confirmation links"),
    ("culture", "the language of the answers is English"),
    ("recaptchaType", NO_CAPTCHA),
    ("recaptchaResponse", NO_CAPTCHA),
];

pub(super) const ONLY_PASSWORDS: &str = "users sign in only with userName and password";

pub(super) const NO_CAPTCHA: &str = "sign-in has no captcha";

/// The body of `POST …/authentication`: a password or a code. Its `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub enum SignInRequest {
    /// A user name and a password.
    Password(PasswordSignIn),
    /// A one-time code of `POST …/authentication/code`.
    Code(String),
}

/// A sign-in with a password.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordSignIn {
    /// E-mail address of the user.
    pub user_name: Email,
    /// Password of the user.
    pub password: String,
    /// Portal to sign in to, if the address has accounts in several portals.
    pub portal: Option<PortalId>,
}

impl SignInRequest {
    /// Parses the body.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names every field that is missing, unknown or of a wrong type, and shows no password and no code.
    pub fn parse<'a>(body: impl Into<RequestBody<'a>>) -> Result<Self, Invalid> {
        let mut fields = Fields::parse(body.into(), bodies::SIGN_IN)?;
        fields.refuse(NOT_OFFERED);
        if let Some(code) = code(&mut fields) {
            fields.finish()?;
            return Ok(Self::Code(code));
        }
        let name = fields.encoding.example("the user's e-mail address", "ada@example.com");
        fields.check_present("userName", &name);
        fields.check_present("password", "the user's password");
        let user_name = fields.text_of("userName", &name).and_then(|text| match text.parse() {
            Ok(email) => Some(email),
            Err(fault) => {
                fields.fault("userName", format!("{fault}; it is \"{}\"", shown(&text)));
                None
            }
        });
        let password = match fields.one("password", |_| None) {
            Some(Value::String(text)) => Some(text),
            Some(_) => {
                fields.fault("password", "must be a string");
                None
            }
            None => None,
        };
        // A client may send the field of a form that the user left empty.
        if fields.object.get("portal").is_some_and(|portal| portal == "") {
            fields.object.remove("portal");
        }
        let portal = fields.portal("portal");
        fields.finish()?;
        // Unreachable: the faults already name a missing field.
        let (Some(user_name), Some(password)) = (user_name, password) else {
            return Err(Invalid::one("userName", "is required"));
        };
        Ok(Self::Password(PasswordSignIn { user_name, password, portal }))
    }
}

/// Takes the code, if the field is not blank: ONLYOFFICE's generated clients send a blank field beside a password. A
/// code stands alone, because a caller who also sends a password may expect that both are checked.
fn code(fields: &mut Fields) -> Option<String> {
    let is_blank = match fields.object.get("code")? {
        Value::String(text) => text.is_empty(),
        other => fields.is_blank(other),
    };
    if is_blank {
        fields.object.remove("code");
        return None;
    }
    let code = match fields.one("code", |_| None) {
        Some(Value::String(code)) => code,
        _ => {
            fields.fault("code", "must be a string: the code of POST /api/2.0/authentication/code");
            String::new()
        }
    };
    for name in ["userName", "password", "portal"] {
        let given = fields.object.remove(name);
        if given.is_some_and(|value| !fields.is_blank(&value)) {
            fields.fault(name, "cannot be given together with code; send the code alone");
        }
    }
    Some(code)
}

impl fmt::Debug for SignInRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password(request) => f.debug_tuple("Password").field(&request.user_name).finish_non_exhaustive(),
            Self::Code(_) => f.debug_tuple("Code").finish_non_exhaustive(),
        }
    }
}
