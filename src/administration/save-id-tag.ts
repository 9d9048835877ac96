// Use cases that save and remove idTags. An idTag belongs to no site, so the permission covers all of them.
import { type IdTag, maxIdTagLength, sameId } from '../model/charger/id-tag.ts';
import { invalidInput } from '../model/refusals/input.ts';
import type { Refusal } from '../model/refusals/refusal.ts';
import type { AdministrationPorts } from './ports.ts';

export async function saveIdTag({ idTags }: AdministrationPorts, input: IdTag): Promise<IdTag | Refusal> {
  const { idTag, parentIdTag } = input;
  const wrong = check('idTag', idTag) ?? (parentIdTag === undefined ? undefined : check('parentIdTag', parentIdTag));
  if (wrong) return wrong;
  if (sameId(idTag, parentIdTag)) {
    return invalidInput('parentIdTag', 'An idTag cannot be its own group; give another parentIdTag, or none.');
  }
  await idTags.save(input);
  return input;
}

/** Reservations made with the idTag stay, but it can no longer start a transaction. */
export async function removeIdTag(
  { idTags }: AdministrationPorts,
  idTag: string,
): Promise<{ readonly id: string } | Refusal> {
  if (await idTags.remove(idTag)) return { id: idTag };
  return { code: 'ID_TAG_NOT_FOUND', message: `There is no idTag "${idTag}".` };
}

const LONGEST = maxIdTagLength('2.1');

function check(field: string, value: string): Refusal | undefined {
  if (/^[\x20-\x7e]+$/.test(value) && value.length <= LONGEST) return undefined;
  const message = `It must have 1 to ${LONGEST} printable characters (20 for OCPP 1.6, 36 for 2.0.1).`;
  return invalidInput(field, message);
}
