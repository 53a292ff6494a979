//! `crm-access user`.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use models::directory::User;
use models::limits::MAX_PASSWORD_BYTES;
use models::sign_in::Email;
use models::sign_in::password::{Password, PasswordHash};
use models::values::id::PortalId;
use store::Store;
use store::sign_in::new_salt;

use crate::CommandError;
use crate::args::{UserCommand, UserName, UserPasswordArgs};
use crate::table::{Table, now};
use crate::terminal::say;

pub(crate) async fn run(command: UserCommand) -> Result<(), CommandError> {
    match command {
        UserCommand::Password(args) => password(args).await,
        UserCommand::Hash => Ok(say(hash(&read_password()?)?.as_str())?),
    }
}

/// Hashes a password with a new salt.
pub(crate) fn hash(password: &Password) -> Result<PasswordHash, CommandError> {
    Ok(password.hash(&new_salt()?)?)
}

async fn password(args: UserPasswordArgs) -> Result<(), CommandError> {
    // Read the password before the table is opened, because the prompt may wait.
    let hash = hash(&read_password()?)?;
    let table = Table::of_command(&args.table).await?;
    let set = set_password(&table.store, &args.portal, &args.user, &hash).await;
    table.close();
    say(format_args!("{} signs in with the new password; every token the user had is revoked", set?))?;
    Ok(())
}

/// Sets the password of an existing user, and returns the e-mail address to sign in with.
pub(crate) async fn set_password(
    store: &Store,
    portal: &PortalId,
    name: &UserName,
    hash: &PasswordHash,
) -> Result<Email, CommandError> {
    let User { employee, email, .. } = find(store, portal, name).await?;
    let email = email.ok_or_else(|| {
        format!(
            "user {name} has no e-mail address to sign in with; first load the user with an Email by `crm-access \
             import`"
        )
    })?;
    match store.set_password(portal, employee.id, hash, now()).await? {
        Some(_) => Ok(email),
        None => Err(format!("user {name} was removed meanwhile").into()),
    }
}

/// Reads the user that an operator names.
pub(crate) async fn find(store: &Store, portal: &PortalId, name: &UserName) -> Result<User, CommandError> {
    let user = match name {
        UserName::Id(id) => store.user(portal, *id).await?,
        UserName::Email(email) => store.user_of_email(portal, email).await?,
    };
    user.ok_or_else(|| format!("portal {portal} has no user {name}; load it with `crm-access import` first").into())
}

/// Prompts for a password twice without echo, or reads one line if standard input is not a terminal.
fn read_password() -> Result<Password, CommandError> {
    if !io::stdin().is_terminal() {
        // Read one byte more than the longest password with its line end, to detect a longer password.
        let limit = MAX_PASSWORD_BYTES as u64 + 3;
        let mut line = String::new();
        io::stdin().lock().take(limit).read_line(&mut line)?;
        let line = line.strip_suffix('\n').unwrap_or(&line);
        return Ok(Password::check(line.strip_suffix('\r').unwrap_or(line))?);
    }
    let password = Password::check(rpassword::prompt_password("New password: ")?)?;
    let again = rpassword::prompt_password("Repeat the password: ")?;
    if Password::check(again).is_ok_and(|again| again == password) {
        Ok(password)
    } else {
        Err("the two passwords differ; nothing was changed".into())
    }
}
