//! The lines that `crm-access serve` prints when the server answers: addresses, and the users of the demo.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use jiff::SignedDuration;
use models::directory::{Scope, User};
use models::sign_in::Email;
use models::sign_in::password::Password;
use models::values::id::{PortalId, UserId};
use store::Store;
use store::tokens::new_token;

use crate::args::{ServeArgs, UserName};
use crate::table::{Table, now};
use crate::terminal::{say, say_lines};
use crate::{CommandError, demo, sign_in_link, token, user};

/// The validity of the demo's tokens in days.
const DEMO_TOKEN_DAYS: i64 = 30;
/// The number of characters of the demo's passwords: 80 random bits.
const DEMO_PASSWORD_CHARS: usize = 20;

/// Prints the users of the demo, and the addresses of a server that listens on `address`. The line `listening on` comes
/// last: a program that waits for this line has read all other lines.
pub(crate) async fn print(table: &Table, args: &ServeArgs, address: SocketAddr) -> Result<(), CommandError> {
    let server = url(address);
    if args.demo {
        let (store, portal) = (&table.store, demo::PORTAL.parse()?);
        let administrator = SignIn::create(store, &portal, demo::ADMINISTRATOR).await?;
        let employee = SignIn::create(store, &portal, demo::EMPLOYEE).await?;
        if args.curl {
            say_lines(&calls(&server, &administrator.token))?;
        }
        say_lines(&users(&administrator, &employee))?;
        let console = sign_in_link::make(store, &server, &portal, &administrator.user).await?;
        say(format_args!("console:      {console}"))?;
    }
    let data = table.place();
    say_lines(&format!(
        "API:          {server}/api/2.0
description:  {server}/api/2.0/openapi.json
data:         {data}
listening on http://{address}"
    ))?;
    Ok(())
}

/// Returns the URL at which programs on this machine reach a server that listens on `address`.
fn url(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

/// A user of the demo with a new password and a new token.
struct SignIn {
    user: User,
    email: Email,
    password: String,
    token: String,
}

impl SignIn {
    /// Sets a new password, which revokes the tokens of earlier runs, and creates a token.
    async fn create(store: &Store, portal: &PortalId, id: UserId) -> Result<Self, CommandError> {
        let name = UserName::Id(id);
        let password: String = new_token()?.chars().take(DEMO_PASSWORD_CHARS).collect();
        let hash = user::hash(&Password::check(&*password)?)?;
        let email = user::set_password(store, portal, &name, &hash).await?;
        let expires = now() + SignedDuration::from_hours(24 * DEMO_TOKEN_DAYS);
        let token = token::make(store, portal, id, vec![Scope::Read, Scope::Write], Some(expires)).await?;
        Ok(Self { user: user::find(store, portal, &name).await?, email, password, token })
    }
}

fn users(administrator: &SignIn, employee: &SignIn) -> String {
    format!(
        "Administrator's password ({}):  {}
Administrator's token ({DEMO_TOKEN_DAYS} days):  {}
Ordinary user's password ({}):  {}
Ordinary token ({DEMO_TOKEN_DAYS} days):  {}",
        administrator.email,
        administrator.password,
        administrator.token,
        employee.email,
        employee.password,
        employee.token
    )
}

/// Returns example calls as lines for a shell.
fn calls(server: &str, token: &str) -> String {
    let (manager, contacts) = (demo::EMPLOYEE, format!("{server}/api/2.0/crm/contact"));
    let jobs = format!("{server}/api/2.0/crm/access/jobs");
    let curl = format!("curl -X PUT -H 'Authorization: {token}' -H 'Content-Type: application/json'");
    let german =
        format!(r#"'{{"tags": ["Germany"], "contactListView": 1, "isPrivate": true, "managerList": ["{manager}"]}}'"#);
    format!(
        r#"
Make one contact private to Nancy Davolio:
  {curl} {contacts}/1/access -d '{{"isShared": false, "managerList": ["{manager}"]}}'

Preview which German companies would become private, without any change:
  {curl} -i '{contacts}/filter/access?dryRun=true&count=3' -d {german}

Make the German companies private:
  {curl} -i '{contacts}/filter/access?count=3' -d {german}

List the latest jobs, newest first:
  curl -H 'Authorization: {token}' '{jobs}?count=2'

Undo a job: replace JOB by the job's id, or by the X-Job-Id of an answer:
  curl -X POST -H 'Authorization: {token}' {jobs}/JOB/undo

"#
    )
}
