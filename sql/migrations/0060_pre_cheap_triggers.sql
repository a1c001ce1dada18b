-- A change of one row cost 2 ms in triggers, nearly all of it planning: each of them put its SQL together and had it planned
-- anew. Now the SQL is put together once, when a table gets its triggers: each table and event has a function of its own, whose
-- plans a session keeps. A kept plan must be right for one row and for a hundred thousand, and for a table that was empty
-- when it was made; so these functions look up by indexes, row by row, whatever the planner thinks of sizes.
set local role tandem_owner;

create function tandem.make_feed(of_table text, feed text, moment text, event text, body text, arguments text[]) returns void
language plpgsql
as $$
declare
  called text := format('%s_%s_of_%s', feed, event, of_table);
  images text := case event when 'insert' then 'referencing new table as new_rows'
                            when 'update' then 'referencing old table as old_rows new table as new_rows'
                            when 'delete' then 'referencing old table as old_rows' else '' end;
begin
  execute format('create or replace function tandem.%I() returns trigger language plpgsql security definer'
                 ' set search_path = pg_catalog, pg_temp'
                 ' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off as %L', called, body);
  execute format('comment on function tandem.%I is %L', called, format('Trigger: made by tandem.feed_%s from its arguments.', feed));
  execute format('revoke execute on function tandem.%I from public', called);
  execute format('create or replace trigger %I %s %s on tandem.%I %s for each statement execute function tandem.%I(%s)',
    feed || '_' || event, moment, event, of_table, images, called,
    (select string_agg(quote_literal(argument), ', ' order by place) from unnest(arguments) with ordinality as a(argument, place)));
end $$;
comment on function tandem.make_feed is
  'Make a trigger <feed>_<event> and its function. The arguments are only written down at the trigger: what it was made from.';

create function tandem.feed_images(event text) returns text[]
language sql immutable
return case event when 'insert' then '{new_rows}' when 'delete' then '{old_rows}' when 'update' then '{old_rows,new_rows}' else '{}' end::text[];
comment on function tandem.feed_images is 'What a statement trigger sees of the changed rows.';

-- The outbox

create function tandem.outbox_body(event text, feeds text[]) returns text
language plpgsql immutable
as $$
declare
  branches text[] := '{}';
  image    text;
  query    text;
begin
  for i in 1 .. cardinality(feeds) by 2 loop
    query := replace(feeds[i + 1], '$1', format('%L::text', upper(event)))
          || case when feeds[i + 1] ~ '\mfrom\M' then E'\n    offset 0' else '' end;  -- begin with the changed rows, never with the table
    if event = 'truncate' then
      branches := branches || format('select %L, %L', feeds[i], '*');
    end if;
    foreach image in array tandem.feed_images(event) loop
      branches := branches || format('select %L, k.key from %I as r cross join lateral (%s) as k(key)', feeds[i], image, query);
    end loop;
  end loop;
  return format(E'begin\n  insert into tandem.outbox(kind, key)\n  %s;\n', array_to_string(branches, E'\n  union '))  -- union: each key once
    -- 0x7A4DE500: the syncer holds it while it sleeps, and cannot while somebody has it who did not notify.
    || E'  if found and not pg_try_advisory_xact_lock_shared(2051925248) then\n    perform pg_notify(''tandem_outbox'', '''');\n  end if;\n  return null;\nend';
end $$;
comment on function tandem.outbox_body is
  'What an outbox trigger does: write the keys that each query finds for the old and the new rows, which it sees as r, and wake a '
  'syncer that sleeps; $1 is the operation.';

create or replace function tandem.feed_outbox(of_table text, variadic feeds text[]) returns void
language plpgsql
as $$
declare
  event text;
begin
  foreach event in array array['insert', 'update', 'delete', 'truncate'] loop
    perform tandem.make_feed(of_table, 'outbox', case event when 'truncate' then 'before' else 'after' end,  -- the dependents' rows are still there
                             event, tandem.outbox_body(event, feeds), feeds);
  end loop;
end $$;
comment on function tandem.feed_outbox is
  'Give a table its outbox triggers, or others than it has: pairs of (kind, query of keys over the changed row r).';

create or replace function tandem.refeed_outbox(of_table text, variadic feeds text[]) returns void
language sql
begin atomic
  select tandem.feed_outbox(of_table, variadic feeds);
end;
comment on function tandem.refeed_outbox is 'Give a table other outbox triggers than it has.';

-- The audit

create function tandem.audit_body(of_table text, event text, key text, owner text) returns text
language plpgsql immutable
as $$
declare
  into_audit constant text := E'begin\n  insert into tandem.audit(actor, acting_account_id, account_id, table_name, key, action, changed, before, after)\n'
    '  select tandem.actor(), nullif(current_setting(''tandem.acting_account'', true), '''')::bigint, ';
  done       constant text := E';\n  return null;\nend';
  secret     constant text := '''{ha1_md5,ha1_sha256,login_ha1}''::text[]';
  image      constant text := 'select (' || key || ')::text as key, (' || owner || ')::bigint as account_id, to_jsonb(r) as row from ';
  old        constant text := '(' || image || 'old_rows as r) as o';
  new        constant text := '(' || image || 'new_rows as r) as n';
begin
  return into_audit || case event
    when 'truncate' then format('null, %L, %L, %L, %L, null, null', of_table, '*', event, '{}')
    when 'insert' then format(E'n.account_id, %L, n.key, %L, %L, null, n.row - %s\n    from %s',
                              of_table, event, '{}', secret, new)
    when 'delete' then format(E'o.account_id, %L, o.key, %L, %L, o.row - %s, null\n    from %s',
                              of_table, event, '{}', secret, old)
    else format(E'coalesce(n.account_id, o.account_id), %L, coalesce(n.key, o.key),\n'
      '         case when o.row is null then ''insert'' when n.row is null then ''delete'' else ''update'' end,\n'
      '         case when o.row is null or n.row is null then ''{}'' else array(\n'
      '           select b.key from jsonb_each(o.row) as b where b.value is distinct from n.row -> b.key order by b.key) end,\n'
      '         o.row - %s, n.row - %s\n    from %s\n    full join %s on n.key = o.key\n'
      '   where o.row is distinct from n.row',
      of_table, secret, secret, old, new) end || done;
end $$;
comment on function tandem.audit_body is
  'What an audit trigger does: write old and new image of each row r that differs; key and owner are expressions over r.';

create or replace function tandem.feed_audit(of_table text, key text, owner text) returns void
language plpgsql
as $$
declare
  event text;
begin
  foreach event in array array['insert', 'update', 'delete', 'truncate'] loop
    perform tandem.make_feed(of_table, 'audit', 'after', event, tandem.audit_body(of_table, event, key, owner), array[key, owner]);
  end loop;
end $$;
comment on function tandem.feed_audit is 'Give a table its audit triggers: expressions over the changed row r for its key and its account.';

-- What stands above a row (0041)

create function tandem.lock_parents_body(event text, parents text[]) returns text
language plpgsql immutable
as $$
declare
  body  text := E'begin\n';
  image text;
  ids   text[];
begin
  for i in 1 .. cardinality(parents) by 3 loop
    ids := '{}';
    foreach image in array tandem.feed_images(event) loop
      ids := ids || format('select k.id from %I as r cross join lateral (%s) as k(id)', image, parents[i + 1]);
    end loop;
    body := body || format(E'  perform from (select distinct u.id from (%s) as u order by u.id) as k\n    cross join lateral (select from tandem.%I as p where p.id = k.id for %s) as locked;\n',
      array_to_string(ids, ' union all '), parents[i], parents[i + 2]);
  end loop;
  return body || E'  return null;\nend';
end $$;
comment on function tandem.lock_parents_body is
  'What a trigger lock_parents does: lock the rows above the old and the new rows r, one table after the other, in the order of their ids.';

create function tandem.feed_lock_parents(of_table text, variadic parents text[]) returns void
language plpgsql
as $$
declare
  event text;
begin
  foreach event in array array['insert', 'update', 'delete'] loop
    perform tandem.make_feed(of_table, 'lock_parents', 'after', event, tandem.lock_parents_body(event, parents), parents);
  end loop;
end $$;
comment on function tandem.feed_lock_parents is
  'Give a table triggers that lock what its values are made of: triples of (table, query of ids over the changed row r, strength).
They fire before the outbox triggers, which then see what was committed.';

do $$
declare
  of_domain constant text := 'select s.sip_domain_id from tandem.subscriber s where s.id = r.subscriber_id';
begin
  perform tandem.feed_lock_parents('subscriber', 'sip_domain', 'select r.sip_domain_id', 'key share');
  perform tandem.feed_lock_parents('number', 'subscriber', 'select r.subscriber_id', 'key share', 'sip_domain', of_domain, 'key share');
  perform tandem.feed_lock_parents('trusted_source', 'subscriber', 'select r.subscriber_id', 'key share', 'sip_domain', of_domain, 'key share');
  perform tandem.feed_lock_parents('peering_server', 'peering_group', 'select r.group_id', 'share');
end $$;

-- Every other table again, from what its triggers say.

create function tandem.trigger_arguments(arguments bytea) returns text[]
language sql immutable strict
return array(select convert_from(decode(part, 'escape'), 'UTF8')
               from unnest(string_to_array(left(encode(arguments, 'escape'), -4), '\000')) with ordinality as a(part, place)  -- \000 ends each
              order by place);
comment on function tandem.trigger_arguments is 'The arguments of a trigger, of its tgargs in pg_trigger.';

do $$
declare
  fed record;
begin
  for fed in
    select c.relname as name, t.tgname as trigger, tandem.trigger_arguments(t.tgargs) as arguments
      from pg_trigger t join pg_class c on c.oid = t.tgrelid
     where c.relnamespace = 'tandem'::regnamespace and t.tgname in ('outbox_insert', 'audit_insert')
     order by c.relname
  loop
    if fed.trigger = 'audit_insert' then
      perform tandem.feed_audit(fed.name, fed.arguments[1], fed.arguments[2]);
    else
      perform tandem.feed_outbox(fed.name, variadic fed.arguments);
    end if;
  end loop;
end $$;

-- Of what is set aside only deletes are audited (0017).
drop trigger keep_deleted on tandem.event_poison;
select tandem.make_feed('event_poison', 'audit', 'after', 'delete', tandem.audit_body('event_poison', 'delete', 'r.id', 'null'), array['r.id', 'null']);
alter trigger audit_delete on tandem.event_poison rename to keep_deleted;

drop function tandem.write_outbox();
drop function tandem.write_audit();
drop function tandem.lock_parents();
drop function tandem.changed_columns(jsonb, jsonb);

-- Whether a row may use what it names depends on that and on whose row it is: nothing else need ask again.

create or replace function tandem.is_self_or_above(upper_id bigint, of_account bigint) returns boolean
language plpgsql stable
as $$
begin
  return exists (select from tandem.chain(of_account) as link where link.account_id = upper_id);
end $$;

create function tandem.owner_of(used_table text, used_id bigint) returns bigint
language plpgsql stable
as $$
begin
  case used_table
    when 'barring_level' then return (select u.account_id from tandem.barring_level u where u.id = used_id);
    when 'rewrite_set' then return (select u.account_id from tandem.rewrite_set u where u.id = used_id);
    when 'sip_domain' then return (select u.account_id from tandem.sip_domain u where u.id = used_id);
    when 'time_set' then return (select u.account_id from tandem.time_set u where u.id = used_id);
  end case;
end $$;
comment on function tandem.owner_of is 'Whose a thing is that accounts below its owner may use.';

create or replace function tandem.check_reach() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  row_values jsonb := to_jsonb(new);
  used_id    bigint := (row_values ->> tg_argv[0])::bigint;
  user_id    bigint;
  owner_id   bigint;
begin
  if used_id is null then
    return new;
  end if;
  user_id := (row_values ->> case tg_table_name when 'account' then 'id' else 'account_id' end)::bigint;
  if user_id is null then  -- a server's account is its group's
    select g.account_id into user_id from tandem.peering_group g where g.id = (row_values ->> 'group_id')::bigint;
  end if;
  owner_id := tandem.owner_of(tg_argv[1], used_id);
  if owner_id is distinct from user_id and owner_id is not null and not tandem.is_self_or_above(owner_id, user_id) then
    raise check_violation using message = format('%s %s belongs to account %s, which is not account %s nor above it',
      replace(tg_argv[1], '_', ' '), used_id, owner_id, user_id);
  end if;
  return new;
end $$;

do $$
declare
  reach record;
begin
  for reach in
    select c.relname as name, t.tgname as trigger, tandem.trigger_arguments(t.tgargs) as arguments,
           (select string_agg(a.attname, ', ') from pg_attribute a  -- group_id: a trigger before this one may take account_id from it
             where a.attrelid = c.oid and a.attnum > 0 and a.attname in ('account_id', 'group_id')) as whose
      from pg_trigger t join pg_class c on c.oid = t.tgrelid
     where t.tgfoid = 'tandem.check_reach'::regproc and t.tgattr::text = '' order by 1, 2
  loop
    execute format('create or replace trigger %I before insert or update of %I, %s on tandem.%I'
                   ' for each row execute function tandem.check_reach(%L, %L)',
      reach.trigger, reach.arguments[1], reach.whose, reach.name, reach.arguments[1], reach.arguments[2]);
  end loop;
end $$;

create or replace trigger check_server before insert or update of group_id, address, aliases on tandem.peering_server
  for each row execute function tandem.check_server();

-- Functions of constraints: as SQL they are planned anew by every statement; and what they look at is nearly always empty.

create or replace function tandem.all_match(items text[], pattern text) returns boolean
language plpgsql immutable strict
as $$
begin
  if cardinality(items) = 0 then
    return true;
  end if;
  return not exists (select from unnest(items) as item where item is null or item !~ pattern);
end $$;

create or replace function tandem.all_distinct(items anyarray) returns boolean
language plpgsql immutable strict
as $$
begin
  if cardinality(items) = 0 then
    return true;
  end if;
  return cardinality(items) = (select count(distinct item) from unnest(items) as item);
end $$;

create or replace function tandem.are_number_globs(items text[], of_callers boolean) returns boolean
language plpgsql immutable strict
as $$
begin
  if cardinality(items) = 0 then
    return true;
  end if;
  return cardinality(items) <= 200 and tandem.all_distinct(items)
     and tandem.all_match(items, case when of_callers then '^(anonymous|([0-9*?]|\[!?[0-9-]+\]){1,32})$' else '^([0-9*?]|\[!?[0-9-]+\]){1,32}$' end);
end $$;

create or replace function tandem.has_empty_range(globs text[]) returns boolean
language plpgsql immutable strict
as $$
begin
  if cardinality(globs) = 0 then
    return false;
  end if;
  return exists (
    select from unnest(globs) as glob,
                regexp_matches(glob, '\[!?([^]]*)\]', 'g') as content,
                regexp_matches(content[1], '([0-9])-([0-9])', 'g') as ends
     where ends[1] > ends[2]);
end $$;
