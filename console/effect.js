/**
 * The effect of a preview in words: how many contacts become private or shared, whose lists change, and how many people
 * lose or gain sight of contacts. The module is pure: it knows neither the page nor the service.
 */

/** @typedef {import('./types').Job} Job */
/** @typedef {import('./types').Target} Target */

/**
 * A clause of the sentence. `give` and `take` hold identifiers of people.
 *
 * @typedef {{key: import('./text.js').Key, n: number, you?: number, give?: string[], take?: string[]}} Clause
 */

/**
 * Returns the clauses about contacts. If a contact stays private or shared, its manager list changes.
 *
 * @param {Pick<Job, 'updated' | 'becomePrivate' | 'becomeShared' | 'target'>} preview
 * @returns {Clause[]}
 */
export function contactClauses({ updated, becomePrivate, becomeShared, target }) {
  // An earlier version of the service made previews without these counts.
  if (!target || becomePrivate === undefined || becomeShared === undefined) return [{ key: 'effect.change', n: updated }];
  const give = target.managerList ?? target.addManagers ?? [];
  const take = target.removeManagers ?? [];
  const lists = target.managerList ? (give.length > 0 ? 'replace' : 'empty')
    : give.length > 0 ? (take.length > 0 ? 'both' : 'give') : take.length > 0 ? 'take' : 'keep';
  const stay = updated - becomePrivate - becomeShared;
  /** @type {Clause[]} */
  const clauses = [];
  if (becomePrivate > 0) clauses.push({ key: `effect.private.${lists}`, n: becomePrivate, give, take });
  if (becomeShared > 0) clauses.push({ key: 'effect.shared', n: becomeShared });
  if (stay > 0) {
    if (target.isPrivate === false) clauses.push({ key: 'effect.stay.shared', n: stay });
    else if (becomePrivate > 0) clauses.push({ key: 'effect.stay.private', n: stay });
    else clauses.push({ key: lists === 'keep' ? 'effect.change' : `effect.lists.${lists}`, n: stay, give, take });
  }
  return clauses;
}

/**
 * Returns the clauses about people. Administrators see every contact and are not among these people.
 *
 * @param {Pick<Job, 'loses' | 'gains'>} preview
 * @returns {Clause[]}
 */
export function peopleClauses({ loses, gains }) {
  /** @type {Clause[]} */
  const clauses = [];
  if (loses) {
    clauses.push(
      loses.users === 0 ? { key: 'effect.loses.none', n: 0 }
      : loses.caller === 0 ? { key: 'effect.loses', n: loses.users }
      : loses.users === 1 ? { key: 'effect.loses.only-you', n: loses.caller }
      : { key: 'effect.loses.you', n: loses.users, you: loses.caller },
    );
  }
  if (gains && gains.users > 0) clauses.push({ key: 'effect.gains', n: gains.users });
  return clauses;
}
