//! The console: the web page of the service, from the files of `console/` at the root of the repository. The build
//! script embeds each file with its compressed forms.

use api::site::{File, Site};

include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// The page and its files.
pub const SITE: Site = Site { function: "web-console", folder: FOLDER, files: FILES };
