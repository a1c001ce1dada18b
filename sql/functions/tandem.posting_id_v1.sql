-- The deterministic id of a posting: the same name gives the same id, for ever (name-based UUID, RFC 4122 §4.3, MD5).
-- name: what the posting is, unique among all postings. Returns a version 3 UUID. Locks nothing.
-- Called by tandem.topup_v1. The settle tool makes its own (tools/settle/postings.py); both live in one ledger.
set local role tandem_owner;

create or replace function tandem.posting_id_v1(name text) returns uuid
language sql immutable strict set search_path = pg_catalog, pg_temp
as $$
  select (substr(hash, 1, 12) || '3' || substr(hash, 14, 3)
          || substr('89ab', 1 + get_byte(decode(substr(hash, 17, 2), 'hex'), 0) / 16 % 4, 1) || substr(hash, 18))::uuid
    from md5('tandem posting ' || name) as hash
$$;
comment on function tandem.posting_id_v1 is 'Deterministic id of a posting.';
