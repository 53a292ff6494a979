/** The shapes of the API that the console reads, beside those of the description. */

export interface Person {
  id: string;
  displayName: string;
}

export interface Effect {
  users: number;
  caller: number;
  largest: (Person & { contacts: number })[];
}

export interface Job {
  id: string;
  kind: string;
  state: 'queued' | 'running' | 'done' | 'failed' | 'cancelled';
  createdBy?: string;
  created: string;
  started: string | null;
  finished: string | null;
  filter: object | null;
  target: object | null;
  rule: string | null;
  undoOf: string | null;
  applyOf?: string | null;
  note?: string | null;
  matched: number;
  updated: number;
  unchanged: number;
  skipped: number;
  conflicts: number;
  failed: number;
  percent: number;
  perSecond: number;
  estimatedEnd: string | null;
  error: string | null;
  gains?: Effect;
  loses?: Effect;
  expires?: string;
}
