// The refusals with which more than one use case of chargers answers.
import type { Refusal } from '../common/refusal.ts';
import type { Charger } from './charger.ts';

export const chargerNotFound = (id: string): Refusal => ({
  code: 'CHARGER_NOT_FOUND',
  message: `There is no charger "${id}".`,
});

export const offline = ({ id, lastSeenAt }: Charger, consequence: string) => ({
  code: 'CHARGER_OFFLINE',
  message: `Charger "${id}" is not connected; ${consequence}.`,
  chargerId: id,
  ...(lastSeenAt && { lastSeenAt }),
});

export const refused = (id: string, consequence: string, answer: string) => ({
  code: 'CHARGER_REFUSED',
  message: `Charger "${id}" refused. ${consequence}`,
  answer,
});
