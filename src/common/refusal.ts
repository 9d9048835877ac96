// A refusal is an answer, not a fault: a use case returns it as a value, with the facts the caller acts on.

export interface Refusal {
  readonly code: string;
  readonly message: string;
}

export const isRefusal = (value: object | string): value is Refusal =>
  typeof value === 'object' && 'code' in value && 'message' in value;

export interface InputRefusal extends Refusal {
  readonly code: 'INVALID_INPUT';
  /** The input field that is wrong. */
  readonly field: string;
}

export const invalidInput = (field: string, message: string): InputRefusal => ({
  code: 'INVALID_INPUT',
  field,
  message: `${field}: ${message}`,
});
