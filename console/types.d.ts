/** The shapes of the API that the console reads, from the description of the API. `make test-console` generates `openapi`. */

import type { components } from 'openapi';

type Schemas = components['schemas'];

export type Job = Schemas['Job'];
export type Rule = Schemas['Rule'];
/** A contact. Every member that a view asks for is there. */
export type Contact = Required<Schemas['Contact']>;
export type Access = Schemas['Access'];
/** The access that a job or a rule gives. */
export type Target = Schemas['Target'];
export type Change = Schemas['Change'];
/** How many contacts people start or stop seeing. */
export type AffectedUsers = Schemas['AffectedUsers'];
