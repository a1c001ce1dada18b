-- Gives a line another address of record: another domain of its account or of one above it, another user name, or both.
-- username: null = as it was. ha1_md5, ha1_sha256: of a new password, both; they bind user name and domain, so a line that has a password
-- needs a new one in the same moment; null for a line without one, which is known by its address.
-- Returns the new address of record. Runs with the caller's rights: row policies say whose line and which domain.
-- Its numbers and trusted sources go along. A call in progress goes on and is billed; the phone must register anew with the new password.
-- Locks the line's row, and holds both domains, until commit. Called by `tandem subscriber move`.
set local role tandem_owner;

create or replace function tandem.move_subscriber_v1(subscriber_id bigint, sip_domain_id bigint, ha1_md5 text, ha1_sha256 text, username text default null)
returns text
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
  line   record;
  domain record;
begin
  select s.id, s.sip_domain_id, s.username into line from tandem.subscriber s where s.id = move_subscriber_v1.subscriber_id for update;
  if not found then
    raise foreign_key_violation using message = format('subscriber %s does not exist', move_subscriber_v1.subscriber_id);
  end if;
  select d.id, d.name into domain from tandem.sip_domain d where d.id = move_subscriber_v1.sip_domain_id;
  if not found then
    raise foreign_key_violation using message = format('domain %s does not exist', move_subscriber_v1.sip_domain_id);
  elsif (move_subscriber_v1.ha1_md5 is null) <> (move_subscriber_v1.ha1_sha256 is null) then
    raise check_violation using message = 'password: both of its hashes are given, or none';
  elsif (line.sip_domain_id, line.username) = (domain.id, coalesce(move_subscriber_v1.username, line.username)) then
    raise check_violation using message = format('subscriber %s is %s@%s already', line.id, line.username, domain.name);
  elsif move_subscriber_v1.ha1_md5 is null and tandem.has_password(line.id) then
    raise check_violation using message = format('subscriber %s %L has a password, which is bound to its address: give it a new one', line.id, line.username);
  end if;
  update tandem.subscriber s
     set sip_domain_id = domain.id, username = coalesce(move_subscriber_v1.username, s.username),
         ha1_md5 = move_subscriber_v1.ha1_md5, ha1_sha256 = move_subscriber_v1.ha1_sha256
   where s.id = line.id;
  return coalesce(move_subscriber_v1.username, line.username) || '@' || domain.name;
end $$;
comment on function tandem.move_subscriber_v1 is 'Move a line to another domain or user name with a new password; returns its address of record.';
