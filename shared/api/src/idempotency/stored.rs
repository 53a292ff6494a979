//! The stored form of an answer. A repeated call gets the decoded answer, without contacts that others have since
//! hidden from the caller.

use std::collections::HashSet;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use lambda_http::http::{HeaderName, HeaderValue, StatusCode};
use models::answer::{ListEnd, ListWriter, Shape};
use models::limits::MAX_STORED_ANSWER_BYTES;
use models::values::id::{ContactId, JobId};
use serde::{Deserialize, Serialize};
use store::inflate::inflate;

use crate::answer::{Answer, Item, Listed, Veiled};
use crate::failure::Failure;
use crate::negotiation;

/// A stored answer without its bodies.
#[derive(Serialize, Deserialize)]
struct StoredHead {
    status: u16,
    headers: Vec<(String, String)>,
    content_type: String,
    revision: Option<String>,
    job: Option<JobId>,
    /// The length of the body in bytes. The veiled body follows the body.
    body: usize,
    list: Option<StoredList>,
    veiled: Option<ContactId>,
}

#[derive(Serialize, Deserialize)]
struct StoredList {
    shape: Shape,
    end: ListEnd,
    items: Vec<(ContactId, usize, usize)>,
}

/// The bytes of the length prefix of the head.
const LENGTH_BYTES: usize = size_of::<u32>();

/// Encodes an answer, compressed.
pub(super) fn encode(answer: &Answer) -> Result<Vec<u8>, Failure> {
    let not_encoded =
        |error: &dyn std::fmt::Display| Failure::Internal(format!("an answer cannot be encoded for its key: {error}"));
    let text = |value: &HeaderValue| value.to_str().map(str::to_owned).map_err(|error| not_encoded(&error));
    let headers = answer.headers.iter().map(|(name, value)| Ok((name.as_str().to_owned(), text(value)?)));
    let list = answer.listed.as_ref().map(|listed| StoredList {
        shape: listed.shape,
        end: listed.end,
        items: listed.items.iter().map(|item| (item.contact, item.start, item.end)).collect(),
    });
    let head = StoredHead {
        status: answer.status.as_u16(),
        headers: headers.collect::<Result<_, Failure>>()?,
        content_type: answer.content_type.to_owned(),
        revision: answer.revision.clone(),
        job: answer.job,
        body: answer.body.len(),
        list,
        veiled: answer.veiled.as_ref().map(|veiled| veiled.contact),
    };
    let head = serde_json::to_vec(&head).map_err(|error| not_encoded(&error))?;
    let length = u32::try_from(head.len()).map_err(|error| not_encoded(&error))?;
    let veiled = answer.veiled.as_ref().map_or(&[][..], |veiled| &veiled.body);
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    for part in [&length.to_be_bytes()[..], &head, &answer.body, veiled] {
        encoder.write_all(part).map_err(|error| not_encoded(&error))?;
    }
    encoder.finish().map_err(|error| not_encoded(&error))
}

/// Decodes an answer from [`encode`].
pub(super) fn decode(stored: &[u8]) -> Result<Answer, Failure> {
    let corrupt = || Failure::Internal("a stored answer cannot be decoded".into());
    let bytes = inflate(stored, MAX_STORED_ANSWER_BYTES).map_err(|_| corrupt())?;
    let (length, rest) = bytes.split_first_chunk::<LENGTH_BYTES>().ok_or_else(corrupt)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| corrupt())?;
    let (head, rest) = rest.split_at_checked(length).ok_or_else(corrupt)?;
    let head: StoredHead = serde_json::from_slice(head).map_err(|_| corrupt())?;
    let (body, veiled) = rest.split_at_checked(head.body).ok_or_else(corrupt)?;
    let header = |(name, value): (String, String)| {
        let name = HeaderName::try_from(name).map_err(|_| corrupt())?;
        Ok((name, HeaderValue::try_from(value).map_err(|_| corrupt())?))
    };
    let listed = head.list.map(|list| Listed {
        shape: list.shape,
        end: list.end,
        items: list.items.into_iter().map(|(contact, start, end)| Item { contact, start, end }).collect(),
    });
    Ok(Answer {
        status: StatusCode::from_u16(head.status).map_err(|_| corrupt())?,
        headers: head.headers.into_iter().map(header).collect::<Result<_, Failure>>()?,
        content_type: negotiation::content_type(&head.content_type).ok_or_else(corrupt)?,
        revision: head.revision,
        job: head.job,
        listed,
        veiled: head.veiled.map(|contact| Veiled { contact, body: veiled.to_vec() }),
        body: body.to_vec(),
        is_stored: true,
    })
}

impl Answer {
    /// Returns the contacts that the answer shows.
    pub(super) fn contacts_shown(&self) -> Vec<ContactId> {
        let listed = self.listed.iter().flat_map(|listed| &listed.items).map(|item| item.contact);
        listed.chain(self.veiled.iter().map(|veiled| veiled.contact)).collect()
    }

    /// Returns whether the call itself set the access that has this revision.
    pub(super) fn set_access(&self, revision: Option<JobId>) -> bool {
        self.job.is_some() && self.job == revision
    }

    /// Returns the answer without these contacts.
    pub(super) fn without(mut self, hidden: &HashSet<ContactId>) -> Result<Self, Failure> {
        if hidden.is_empty() {
            return Ok(self);
        }
        if let Some(Veiled { body, .. }) = self.veiled.take_if(|veiled| hidden.contains(&veiled.contact)) {
            self.body = body;
        }
        if let Some(listed) = &self.listed {
            let mut list = ListWriter::new(listed.shape, None, None, usize::MAX);
            for item in listed.items.iter().filter(|item| !hidden.contains(&item.contact)) {
                list.push_written(self.body.get(item.start..item.end).unwrap_or_default());
            }
            let list = list.finish(&listed.end).map_err(|error| Failure::Internal(error.to_string()))?;
            self.body = list.0;
        }
        Ok(self)
    }
}
