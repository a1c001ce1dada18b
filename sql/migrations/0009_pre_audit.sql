-- Who changed which configuration, when, from what to what.
set local role tandem_owner;

create table tandem.audit (
  id                bigint generated always as identity primary key,
  at                timestamptz not null default now(),
  actor             text not null,
  acting_account_id bigint,
  account_id        bigint,
  table_name        text not null,
  key               text not null,
  action            text not null constraint action_is_known check (action in ('insert', 'update', 'delete', 'truncate')),
  changed           text[] not null default '{}',
  before            jsonb,
  after             jsonb
);
create index audit_by_account on tandem.audit(account_id, at);
create index audit_by_row on tandem.audit(table_name, key);
comment on table tandem.audit is 'Every change of configuration, written by triggers in the same transaction.';
comment on column tandem.audit.id is 'Order of writing.';
comment on column tandem.audit.at is 'When.';
comment on column tandem.audit.actor is 'The person or tool named by tandem.act_as_v1, else the database user.';
comment on column tandem.audit.acting_account_id is 'Account that they acted for; null = none was set.';
comment on column tandem.audit.account_id is 'Whose configuration it is: those who see that account see this row; null = the platform''s.';
comment on column tandem.audit.table_name is 'Table of schema tandem.';
comment on column tandem.audit.key is 'Primary key of the row; parts joined by /.';
comment on column tandem.audit.action is 'insert, update, delete, truncate.';
comment on column tandem.audit.changed is 'Names of the columns that an update changed, secret ones too.';
comment on column tandem.audit.before is 'The row before, without secrets.';
comment on column tandem.audit.after is 'The row after, without secrets.';

create function tandem.changed_columns(before jsonb, after jsonb) returns text[]
language sql immutable
return coalesce((select array_agg(b.key order by b.key) from jsonb_each(before) as b where b.value is distinct from after -> b.key), '{}');
comment on function tandem.changed_columns is 'Names of the columns in which two images of a row differ.';

create function tandem.write_audit() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  image  constant text := 'select (%s)::text as key, (%s)::bigint as account_id, to_jsonb(r) as row from %I as r';
  nobody constant text := 'select null::text as key, null::bigint as account_id, null::jsonb as row where false';
  secret constant text[] := '{ha1_md5,ha1_sha256}';
  olds   text := nobody;
  news   text := nobody;
begin
  if tg_op = 'TRUNCATE' then
    insert into tandem.audit(actor, acting_account_id, table_name, key, action)
    values (tandem.actor(), nullif(current_setting('tandem.acting_account', true), '')::bigint, tg_table_name, '*', 'truncate');
    return null;
  end if;
  if tg_op <> 'INSERT' then
    olds := format(image, tg_argv[0], tg_argv[1], 'old_rows');
  end if;
  if tg_op <> 'DELETE' then
    news := format(image, tg_argv[0], tg_argv[1], 'new_rows');
  end if;
  execute format($q$
    insert into tandem.audit(actor, acting_account_id, account_id, table_name, key, action, changed, before, after)
    select tandem.actor(), nullif(current_setting('tandem.acting_account', true), '')::bigint,
           coalesce(n.account_id, o.account_id), %L, coalesce(n.key, o.key),
           case when o.row is null then 'insert' when n.row is null then 'delete' else 'update' end,
           case when o.row is not null and n.row is not null then tandem.changed_columns(o.row, n.row) else '{}' end,
           o.row - $1, n.row - $1
      from (%s) as o full join (%s) as n on n.key = o.key
     where o.row is distinct from n.row
  $q$, tg_table_name, olds, news) using secret;
  return null;
end $$;
comment on function tandem.write_audit is
  'Trigger(key, owner): writes old and new image of each changed row r; key and owner are expressions over r.';

create function tandem.actor() returns text
language sql stable
return coalesce(nullif(current_setting('tandem.actor', true), ''), session_user);
comment on function tandem.actor is 'Who acts in this transaction: as set by tandem.act_as_v1, else the database user.';

create function tandem.feed_audit(of_table text, key text, owner text) returns void
language plpgsql
as $$
declare
  event record;
begin
  for event in
    select * from (values
      ('insert',   'referencing new table as new_rows'),
      ('update',   'referencing old table as old_rows new table as new_rows'),
      ('delete',   'referencing old table as old_rows'),
      ('truncate', '')
    ) as e(name, images)
  loop
    execute format('create trigger audit_%s after %s on tandem.%I %s for each statement execute function tandem.write_audit(%L, %L)',
      event.name, event.name, of_table, event.images, key, owner);
  end loop;
end $$;
comment on function tandem.feed_audit is 'Give a table its audit triggers: expressions over the changed row r for its key and its account.';

select tandem.feed_audit('currency', 'r.code', 'null');
select tandem.feed_audit('account', 'r.id', 'r.id');
select tandem.feed_audit('contact', 'r.id', 'r.account_id');
select tandem.feed_audit('fund', $e$r.account_id || '/' || r.currency$e$, 'r.account_id');
select tandem.feed_audit('tariff', 'r.id', 'r.account_id');
select tandem.feed_audit('rate_set', 'r.id', 'select t.account_id from tandem.tariff t where t.id = r.tariff_id');
select tandem.feed_audit('rewrite_set', 'r.id', 'r.account_id');
select tandem.feed_audit('rewrite_rule', 'r.id', 'select s.account_id from tandem.rewrite_set s where s.id = r.rewrite_set_id');
select tandem.feed_audit('sip_domain', 'r.id', 'r.account_id');
select tandem.feed_audit('subscriber', 'r.id', 'r.account_id');
select tandem.feed_audit('trusted_source', 'r.id', 'select s.account_id from tandem.subscriber s where s.id = r.subscriber_id');
select tandem.feed_audit('number', 'r.id', 'r.account_id');
select tandem.feed_audit('reply_override', $e$r.account_id || '/' || r.reason$e$, 'r.account_id');
select tandem.feed_audit('peering_group', 'r.id', 'r.account_id');
select tandem.feed_audit('peering_server', 'r.id', 'select g.account_id from tandem.peering_group g where g.id = r.group_id');
select tandem.feed_audit('peering_rule', 'r.id', 'r.account_id');
select tandem.feed_audit('inbound_rule', 'r.id', 'select g.account_id from tandem.peering_group g where g.id = r.group_id');
select tandem.feed_audit('emergency_route', 'r.id', 'null');
