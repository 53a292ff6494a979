//! Stored values: chunks of jobs, postings, positions in an index and keys.

use models::job::JobId;
use models::limits::MAX_PACKED_CONTACTS;
use models::values::timestamp::Timestamp;
use store::jobs::Progress;
use store::jobs::chunk_format::{self, ChunkBuilder, MAX_CHUNK_BYTES};
use store::keys::{IndexPosition, Key};
use store::postings;

use crate::allocations::bounded;
use crate::messages::check_error;

/// Maximum bytes of an error's message.
const MAX_ERROR_BYTES: usize = 256;
/// Maximum bytes of a stored block of DEFLATE.
const MAX_STORED_BYTES: usize = 0xffff;

/// Wraps bytes as DEFLATE does for bytes that it cannot compress, so that the fuzzer need not find a valid compression.
fn deflated(plain: &[u8]) -> Vec<u8> {
    let plain = &plain[..plain.len().min(MAX_STORED_BYTES)];
    let len = u16::try_from(plain.len()).unwrap_or(u16::MAX);
    [&[1][..], &len.to_le_bytes(), &(!len).to_le_bytes(), plain].concat()
}

/// Fuzzes the reader of the chunks of a job. The reader reads the input as it is, and as the content of a compressed
/// block.
///
/// # Panics
///
/// If a property of the reader does not hold.
pub fn chunks(data: &[u8]) {
    // A few compressed bytes may inflate to a whole chunk.
    for (body, plain_bytes) in [(data.to_vec(), MAX_CHUNK_BYTES), (deflated(data), data.len())] {
        let changes = match bounded(plain_bytes, || chunk_format::decode(&body)) {
            Ok(changes) => changes,
            Err(error) => {
                check_error(&error, MAX_ERROR_BYTES);
                continue;
            }
        };
        let mut chunk = ChunkBuilder::default();
        // A decoded chunk is not necessarily one that a job would write.
        if data.len() < MAX_CHUNK_BYTES && changes.iter().all(|change| chunk.push(change)) {
            let encoded = chunk.encode().ok();
            let again = encoded.and_then(|encoded| chunk_format::decode(&encoded).ok());
            assert_eq!(again, Some(changes));
        }
    }
}

/// Fuzzes the reader of postings. The reader reads the input as it is, and as the content of a compressed block.
///
/// # Panics
///
/// If a property of the reader does not hold.
pub fn postings(data: &[u8]) {
    // A few compressed bytes may inflate to the posting of a compaction.
    for (body, plain_bytes) in [(data.to_vec(), 5 * MAX_PACKED_CONTACTS), (deflated(data), data.len())] {
        match bounded(plain_bytes, || postings::decode(&body)) {
            Ok(contacts) => {
                assert!(contacts.is_sorted_by(|a, b| a < b));
                let (hash, encoded) = postings::encode(&contacts).unwrap_or_default();
                assert_eq!(postings::decode(&encoded).ok().as_ref(), Some(&contacts));
                assert_eq!(postings::encode(&contacts).unwrap_or_default(), (hash, encoded));
            }
            Err(error) => check_error(&error, MAX_ERROR_BYTES),
        }
    }
}

/// Fuzzes the readers of the points at which a page or a job continues: the progress of a shard, the position in an
/// index, a job's identifier, and a key. The input is read as each of these; a line break separates the two parts of a
/// key.
///
/// # Panics
///
/// If a property of a reader does not hold.
pub fn cursors(data: &[u8]) {
    if let Ok(progress) = bounded(data.len(), || serde_json::from_slice::<Progress>(data)) {
        let stored = serde_json::to_vec(&progress).unwrap_or_default();
        assert_eq!(serde_json::from_slice::<Progress>(&stored).ok(), Some(progress));
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(position) = bounded(data.len(), || IndexPosition::decode(text)) {
        let key = position.encode();
        assert_eq!(IndexPosition::decode(&key), Some(position));
        assert!(position.bound_after() < key && key < position.bound_after_ascending());
        assert!(
            IndexPosition::lower_bound(position.created) < key && key < IndexPosition::upper_bound(position.created)
        );
    }
    if let Ok(id) = text.parse::<JobId>() {
        assert_eq!(id.to_string().parse(), Ok(id));
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        assert_eq!(time.to_string().parse(), Ok(time));
    }
    if let Some((pk, sk)) = text.split_once('\n')
        && let Some(key) = bounded(data.len(), || Key::decode(pk, sk))
    {
        let (pk, sk) = key.encode();
        assert_eq!(Key::decode(&pk, &sk).map(|again| again.encode()), Some((pk, sk)));
        assert!(format!("{key:?}").len() < 32);
    }
}
