// Checks single fields of an input, and makes their refusals.
import { isIdentifier } from '../../common/identifier.ts';
import type { Refusal } from './refusal.ts';

export interface InputRefusal extends Refusal {
  readonly code: 'INVALID_INPUT';
  /** Name of the input field that is wrong. */
  readonly field: string;
}

export const invalidInput = (field: string, message: string): InputRefusal => ({
  code: 'INVALID_INPUT',
  field,
  message: `${field}: ${message}`,
});

/** An absent value passes. */
export const checkIdentifier = (field: string, text: string | undefined): InputRefusal | undefined =>
  text === undefined || isIdentifier(text)
    ? undefined
    : invalidInput(field, 'It must have 1 to 255 printable ASCII characters.');
