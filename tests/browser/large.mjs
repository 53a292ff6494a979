/** Writes an import file with a large portal: contacts of every stage, type and tag, and users with tokens. */

import { createWriteStream } from 'node:fs';
import { once } from 'node:events';

export const TOKEN = 'the-administrator-of-the-large-portal-000';

/**
 * @param {string} path
 * @param {number} contacts
 */
export async function write(path, contacts) {
  const file = createWriteStream(path);
  const line = async (object) => file.write(`${JSON.stringify(object)}\n`) || once(file, 'drain');
  const user = (n) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
  await line({ portal: { Id: 'large', TimeZone: 'Pacific/Auckland' } });
  for (let n = 1; n <= 20; n += 1) {
    await line({ user: { Id: user(n), DisplayName: `User ${n}`, Title: '', AvatarSmall: '', ProfileUrl: '', IsAdmin: n === 1 } });
  }
  await line({ token: { Token: TOKEN, UserId: user(1), Scopes: ['read', 'write'], Expires: null } });
  for (let n = 1; n <= 4; n += 1) {
    await line({ stage: { id: n, Title: `Stage ${n}`, Description: '', Color: ['#ffffff', '#000000', '#a7fc00', '#3689e6'][n - 1], SortOrder: n } });
    await line({ type: { id: n, Title: `Type ${n}`, Description: '', Color: '#667885', SortOrder: n } });
  }
  for (let n = 1; n <= contacts; n += 1) {
    const created = new Date(Date.UTC(2000, 0, 1) + n * 3_600_000).toISOString();
    const own = n % 10 === 0;
    await line({ contact: {
      id: n, DisplayName: `Contact ${n}`, IsCompany: n % 2 === 0, Created: created, Tags: [`tag ${n % 50}`],
      ContactStatus: { id: n % 5 }, ContactType: { id: 1 + (n % 4) }, ShareType: own ? 0 : 1, AccessList: own ? [{ Id: user(2 + (n % 19)) }] : [],
    } });
  }
  file.end();
  await once(file, 'finish');
}
