import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Audit1764100000010 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE audit_entry (
        id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        at         timestamptz NOT NULL,
        subject    text NOT NULL,
        role       text NOT NULL,
        api_key_id uuid,
        address    text NOT NULL,
        via        text NOT NULL,
        operation  text NOT NULL,
        target     text,
        -- Text, not JSON: it may be truncated.
        input      text NOT NULL,
        result     text NOT NULL
      );
      CREATE INDEX audit_entry_of_subject ON audit_entry (subject, id);
      CREATE INDEX audit_entry_of_target ON audit_entry (target, id) WHERE target IS NOT NULL;

      CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'insufficient_privilege';
        END
      $$;
      CREATE TRIGGER audit_entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entry
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE audit_entry; DROP FUNCTION refuse_change');
  }
}
