/** The shapes of the API that the console reads, from the description of the API. `make test-console` generates `openapi`. */

import type { components } from 'openapi';

type Schemas = components['schemas'];

/** How many contacts people start or stop to see. */
export interface Effect {
  users: number;
  caller: number;
  largest: { id: string; displayName: string; contacts: number }[];
}

/** A job. The members that only some kinds have are optional. */
export type Job = Omit<Schemas['Job'], 'kind'> & {
  kind: string;
  note?: string | null;
  applyOf?: string | null;
  gains?: Effect;
  loses?: Effect;
  expires?: string;
};

export type Rule = Schemas['Rule'] & { maxAffected?: number | null; note?: string | null };
/** A contact. Every member that a view asks for is there. */
export type Contact = Required<Schemas['Contact']>;
export type Change = Schemas['Change'];
