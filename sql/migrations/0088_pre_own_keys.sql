-- What tenants took by keys, names, shares and locks of their own making.
set local role tandem_owner;

-- Keys come from the sequence alone

create function tandem.no_own_keys(of_table text default null) returns void
language plpgsql
as $$
declare
  keyed record;
begin
  for keyed in
    select c.relname, v.verb, string_agg(quote_ident(a.attname), ', ' order by a.attnum) filter (where a.attidentity = '') as others
      from pg_class c
      join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
     cross join (values ('insert'), ('update')) as v(verb)
     where c.relnamespace = 'tandem'::regnamespace and c.relkind in ('r', 'p') and c.relname = coalesce(of_table, c.relname)
       and has_any_column_privilege('tandem_tenant', c.oid, v.verb)
     group by c.relname, v.verb
    having bool_or(a.attidentity <> '')
  loop
    execute format('revoke %s on tandem.%I from tandem_tenant', keyed.verb, keyed.relname);
    execute format('grant %s (%s) on tandem.%I to tandem_tenant', keyed.verb, keyed.others, keyed.relname);
  end loop;
end $$;
comment on function tandem.no_own_keys is
  'Have tandem_tenant give no value for a generated key, of one table or, null, of all, and all other columns of what it may write: a key of '
  'somebody''s choice stops the sequence, is what a removed row was called, or is a number that means something. Call it again after a table '
  'with a generated key has got a column.';

create or replace function tandem.isolate(of_table text, sees text default null, keeps text default null, needs text default null) returns void
language plpgsql
as $$
declare
  visible constant text := 'any ((select tandem.visible_ids_v1())::bigint[])';
  acting  constant text := '(select tandem.acting_account_v1())';
  shown   constant text := replace(replace(replace(sees, '{visible}', visible), '{acting}', acting), '{row}', of_table);
  granted constant text := case when needs is null then '' else format('(select tandem.acting_may(%L)) and ', needs) end;
  kept    constant text := granted || '(' || replace(replace(replace(keeps, '{visible}', visible), '{acting}', acting), '{row}', of_table) || ')';
  verb    record;
begin
  execute format('alter table tandem.%I enable row level security, force row level security', of_table);
  execute format('create policy platform on tandem.%I to tandem_owner, tandem_tool using (true) with check (true)', of_table);
  if shown is null then
    return;
  end if;
  execute format('grant select on tandem.%I to tandem_tenant', of_table);
  execute format('create policy sees on tandem.%I for select to tandem_tenant using (%s)', of_table, shown);
  for verb in
    select * from (values ('adds', 'insert', 'with check'), ('changes', 'update', 'using'), ('removes', 'delete', 'using'))
                    as v(policy, name, clause)
     where kept is not null and has_table_privilege('tandem_tool', format('tandem.%I', of_table), v.name)
  loop
    execute format('grant %s on tandem.%I to tandem_tenant', verb.name, of_table);
    execute format('create policy %I on tandem.%I for %s to tandem_tenant %s (%s)', verb.policy, of_table, verb.name, verb.clause, kept);
  end loop;
  perform tandem.no_own_keys(of_table);
end $$;
select tandem.no_own_keys();

-- 0 is nobody, in records of workers and of calls.
alter table tandem.account add constraint account_id_is_above_zero check (id > 0);

-- An undo brings rows back under the keys that they had, as an import before it knows them by these.
create function tandem.return_rows_v1(of_import bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC'
as $$
declare
  file     tandem.import_file;
  of_table text;
  columns  text;
begin
  select * into file from tandem.import_file f
   where f.id = of_import and f.kind <> 'rates' and f.undone_at = now() and tandem.acting_saw(f.account_id, f.created_at);
  if not found then
    raise check_violation using message = format('import %s is not being undone in this transaction', of_import);
  end if;
  perform tandem.check_may_import(file.kind, file.target_id);
  of_table := case file.kind when 'routes' then 'peering_rule' else 'number' end;
  columns := (select string_agg(quote_ident(a.attname), ', ' order by a.attnum) from pg_attribute a
               where a.attrelid = format('tandem.%I', of_table)::regclass and a.attnum > 0 and not a.attisdropped and a.attgenerated = '');
  execute format('insert into tandem.%I(%s) overriding system value'
                 ' select %s from tandem.import_change c cross join lateral jsonb_populate_record(null::tandem.%1$I, c.before)'
                 ' where c.import_id = $1 and c.after is null', of_table, columns,
                 regexp_replace(columns, '(^|, )', '\1jsonb_populate_record.', 'g')) using of_import;
end $$;
comment on function tandem.return_rows_v1 is
  'Bring back the rows of routes or numbers that an import removed, under their keys, in the transaction that undoes it (tandem.end_import_v1).';

create function tandem.check_undone() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC'
as $$
declare
  wrong bigint;
begin
  -- By way of the row's type: what a release before noted lacks the columns that are new.
  execute format('select c.key from tandem.import_change c left join tandem.%1$I r on r.id = c.key where c.import_id = $1 and to_jsonb(r)'
                 ' is distinct from case when c.before is not null then to_jsonb(jsonb_populate_record(null::tandem.%1$I, c.before)) end limit 1',
                 case new.kind when 'routes' then 'peering_rule' else 'number' end) into wrong using new.id;
  if wrong is not null then
    raise check_violation using message = format('import %s is not undone: row %s is not what it was before', new.id, wrong);
  end if;
  return null;
end $$;
comment on function tandem.check_undone is 'Trigger, at commit: an import of rows that is noted as undone has left nothing behind.';
create constraint trigger check_undone after update of undone_at on tandem.import_file deferrable initially deferred
  for each row when (new.undone_at is not null and new.kind <> 'rates') execute function tandem.check_undone();

create or replace function tandem.end_import_v1(of_import bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  file   tandem.import_file;
  target record;
begin
  select * into file from tandem.import_file f
   where f.id = of_import and f.kind <> 'rates' and tandem.acting_saw(f.account_id, f.created_at) for no key update;
  if not found then
    raise check_violation using message = format('import %s does not exist', of_import);
  elsif file.undone_at is not null then
    raise check_violation using message = format('import %s was undone already', of_import);
  end if;
  target := tandem.check_may_import(file.kind, file.target_id);
  if target.owner_id <> file.account_id then
    raise check_violation using message = format('import %s cannot be undone: its carrier is another account''s now', of_import);
  elsif file.kind = 'numbers' and exists (select from tandem.import_change c
                                           where c.import_id = of_import and (c.before -> 'e164') is distinct from (c.after -> 'e164')) then
    perform tandem.demand('numbers');
  end if;
  update tandem.import_file set undone_at = now() where id = of_import;
end $$;
comment on function tandem.end_import_v1 is
  'Note that an import of routes or numbers is undone, in the transaction that brings its rows back; error unless who asks may, and at commit '
  'unless they are back.';

-- What an import says of itself is read by everybody above
create function tandem.check_summary(of_kind text, summary jsonb) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  deck record;
begin
  if jsonb_typeof(summary) is distinct from 'object' or octet_length(summary::text) > 100000 then
    raise check_violation using message = format('import of %s: its summary is an object of at most 100000 characters', of_kind);
  elsif exists (select from jsonb_each(summary) as s
                 where jsonb_typeof(s.value) not in ('number', 'boolean') and not (of_kind = 'rates' and s.key = 'decks')) then
    raise check_violation using message = format('import of %s: its summary says numbers, yes and no', of_kind);
  elsif summary ? 'decks' then
    if jsonb_typeof(summary -> 'decks') <> 'array'
       or exists (select from jsonb_array_elements(summary -> 'decks') as d where jsonb_typeof(d.value) <> 'object') then
      raise check_violation using message = 'import of rates: decks is a list of objects';
    end if;
    for deck in select d.value ->> 'from' as begins from jsonb_array_elements(summary -> 'decks') as d loop
      begin
        perform deck.begins::timestamptz;
      exception when datetime_field_overflow or invalid_datetime_format or invalid_parameter_value then
        raise check_violation using message = format('import of rates: %L is no time at which a deck begins', left(deck.begins, 60));
      end;
    end loop;
  end if;
end $$;
comment on function tandem.check_summary is
  'Error unless the summary of an import is an object of numbers and booleans; of rates also decks, a list of objects whose "from" is a time or null.';

create or replace function tandem.keep_changes_v1(of_kind text, of_target bigint, file jsonb) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  target   constant record := tandem.check_may_import(of_kind, of_target);
  of_table constant text := case of_kind when 'routes' then 'peering_rule' else 'number' end;
  owned_by constant text := case of_kind when 'routes' then 'group_id' else 'account_id' end;
  newest   constant bigint := coalesce(pg_sequence_last_value(pg_get_serial_sequence('tandem.' || of_table, 'id')::regclass), 0);
  wrong    bigint;
  made     bigint;
begin
  perform tandem.check_stage('{import_change}');
  execute format($q$
    select c.key from pg_temp.import_change c left join tandem.%I r on r.id = c.key
     where c.key not between 1 and $1 or to_jsonb(r) is distinct from c.after
        or exists (select from (values (c.before), (c.after)) as s(said)
                    where s.said is not null and (s.said -> 'id', s.said -> %L) is distinct from (to_jsonb(c.key), to_jsonb($2)))
     limit 1 $q$, of_table, owned_by) into wrong using newest, of_target;
  if wrong is not null then
    raise check_violation using message = format('import of %s: row %s is none that it changed', of_kind, wrong);
  elsif of_kind = 'numbers' and exists (select from pg_temp.import_change c where (c.before -> 'e164') is distinct from (c.after -> 'e164')) then
    perform tandem.demand('numbers');
  end if;
  -- The audit knows what a row was when this transaction first touched it.
  select c.key into wrong
    from pg_temp.import_change c
    left join lateral (select a.action, a.before from tandem.audit a
                        where a.table_name = of_table and a.key = c.key::text and a.at = now() order by a.id limit 1) as was on true
   where c.before is distinct from c.after and (was.action is null or was.before is distinct from c.before)
   limit 1;
  if found then
    raise check_violation using message = format('import of %s: row %s was not so before', of_kind, wrong);
  end if;
  if not exists (select from pg_temp.import_change c where c.before is distinct from c.after) then
    raise check_violation using message = format('import of %s: it changed nothing', of_kind);
  end if;
  perform tandem.check_summary(of_kind, file -> 'summary');
  insert into tandem.import_file(account_id, kind, target_id, target, file_name, sha256, lines, summary)
  values (target.owner_id, of_kind, of_target, target.name, file ->> 'file_name', file ->> 'sha256', (file ->> 'lines')::integer, file -> 'summary')
  returning id into made;
  insert into tandem.import_change(import_id, key, before, after)
  select made, c.key, c.before, c.after from pg_temp.import_change c where c.before is distinct from c.after;
  return made;
end $$;
comment on function tandem.keep_changes_v1 is
  'Note an import of routes or numbers, and what it has changed, for an undo; returns its id. of_target: the carrier or the account; '
  'file: {"file_name", "sha256", "lines", "summary"}. What is staged as the rows afterwards are the rows, and as before what the audit has.';

revoke execute on function tandem.return_rows_v1, tandem.check_undone, tandem.check_summary from public;
grant execute on function tandem.return_rows_v1 to tandem_tool, tandem_tenant;

-- Names: / stands between those of a path. A trigger and no constraint, as an old row could not be locked or suspended then.
create function tandem.refuse_slash() returns trigger
language plpgsql
as $$
begin
  if strpos(new.name, '/') > 0 then
    raise check_violation using message = format('%s %L: a name has no /, which stands between the names of a path',
      replace(tg_table_name, '_', ' '), new.name::text);
  end if;
  return new;
end $$;
comment on function tandem.refuse_slash is 'Trigger: a new name cannot be taken for a path. What was called so before keeps its name.';
revoke execute on function tandem.refuse_slash from public;
do $$
declare
  named text;
begin
  foreach named in array '{account,tariff,rewrite_set,time_set,barring_level,peering_group,peering_server}'::text[] loop
    execute format('create trigger refuse_slash_made before insert on tandem.%I for each row execute function tandem.refuse_slash()', named);
    execute format('create trigger refuse_slash_changed before update of name on tandem.%I for each row'
                   ' when (old.name <> new.name) execute function tandem.refuse_slash()', named);
  end loop;
end $$;

-- Who decides: what an account shares it says itself
create or replace function tandem.admit_account() returns trigger
language plpgsql
as $$
declare
  own      constant text[] := '{contact_id,own_barring_id,blocked_in,blocked_out,share_children,language}';
  routed   constant text[] := '{routing,carriers,loss_pct,attempts_max}';
  defaults constant jsonb := '{"routing": [], "carriers": "all", "loss_pct": 0, "attempts_max": 0, "share_children": false,
                               "status": "active", "closed_at": null, "lock": "none", "lock_note": ""}';
  changed  text[];
begin
  if tg_op = 'INSERT' or new.parent_id is distinct from old.parent_id then
    if not exists (select from tandem.account p where p.id = new.parent_id) then  -- as tandem.check_account says it
      raise foreign_key_violation using message = format('account %L: its parent %s does not exist', new.name, new.parent_id);
    end if;
  end if;
  changed := array(select n.key from jsonb_each(to_jsonb(new)) as n
                    where n.value is distinct from case when tg_op = 'UPDATE' then to_jsonb(old) else to_jsonb(new) || defaults end -> n.key
                    order by n.key);
  if new.id = tandem.acting_account_v1() and not changed <@ (own || routed) then
    raise insufficient_privilege using message = format('account %s %L does not change its own %s: those above it do', new.id, new.name,
      (select string_agg(replace(c, '_', ' '), ', ') from unnest(changed) as c where c <> all (own || routed)));
  elsif tg_op = 'UPDATE' and 'parent_id' = any (changed) then
    raise insufficient_privilege using message = format(
      'account %s %L comes below another by tandem.move_account_v1, which takes its balance along', new.id, new.name);
  elsif changed && '{status,closed_at}' then
    raise insufficient_privilege using message = format(
      'account %s %L is suspended, resumed and closed by tandem.suspend_account_v1, resume_account_v1 and close_account_v1, with all below it',
      new.id, new.name);
  elsif changed && '{lock,lock_note}' then
    raise insufficient_privilege using message = format(
      'account %s %L is locked and unlocked by tandem.lock_v1, which says who and why', new.id, new.name);
  elsif 'share_children' = any (changed) and new.id <> tandem.acting_account_v1() then
    raise insufficient_privilege using message = format(
      'account %L: share_children is its own to say: who is below it, those above it see only if it wants', new.name);
  elsif changed && routed then
    perform tandem.demand('routing');
  end if;
  return new;
end $$;
comment on function tandem.admit_account is
  'Trigger: of its own row an account changes only what is its own affair, and of that alone what it shares; routing wants the right; a parent is '
  'one that it sees, and stays; status and lock are changed by functions.';

-- Who set a lock or a suspension
create table tandem.account_hold (
  account_id bigint not null references tandem.account on delete cascade,
  kind       text not null constraint kind_is_lock_or_status check (kind in ('lock', 'status')),
  set_by     bigint not null references tandem.account on delete cascade,
  primary key (account_id, kind)
);
create index account_hold_by_setter on tandem.account_hold(set_by);
comment on table tandem.account_hold is
  'Which account locked or suspended an account: only that one, or one above it, takes it back. No row: nobody knows, or a threshold did.';
comment on column tandem.account_hold.account_id is 'Who is locked or suspended.';
comment on column tandem.account_hold.kind is 'lock, status.';
comment on column tandem.account_hold.set_by is 'The highest account that said so; the root for the platform.';
grant select on tandem.account_hold to tandem_tool, tandem_sync;
select tandem.isolate('account_hold');

create function tandem.is_held(of_account bigint, of_kind text) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  acting bigint;
begin
  if tandem.is_platform() then
    return false;
  end if;
  acting := tandem.acting_account_v1();
  return exists (select from tandem.account_hold h
                  where h.account_id = of_account and h.kind = of_kind and h.set_by <> acting and tandem.is_self_or_above(h.set_by, acting));
end $$;
comment on function tandem.is_held is 'Whether an account above the acting one has locked or suspended this one. Never for the platform.';

create function tandem.note_hold(of_account bigint, of_kind text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if not tandem.is_held(of_account, of_kind) then
    insert into tandem.account_hold(account_id, kind, set_by)
    values (of_account, of_kind, case when tandem.is_platform() then (select a.id from tandem.account a where a.kind = 'root')
                                      else tandem.acting_account_v1() end)
    on conflict (account_id, kind) do update set set_by = excluded.set_by;
  end if;
end $$;
comment on function tandem.note_hold is 'Note that the acting account locks or suspends an account; one above it that did so before stays noted.';

create function tandem.end_hold() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  delete from tandem.account_hold h
   where h.account_id = new.id and (h.kind = 'lock' and new.lock = 'none' or h.kind = 'status' and new.status <> 'suspended');
  return null;
end $$;
comment on function tandem.end_hold is 'Trigger: who is not locked or suspended is held by nobody.';
create trigger end_hold after update of lock, status on tandem.account
  for each row when (new.lock = 'none' or new.status <> 'suspended') execute function tandem.end_hold();
revoke execute on function tandem.is_held, tandem.note_hold, tandem.end_hold from public;

-- What was talked before a move and is posted after it was before it

create function tandem.call_began_since(of_rid text, since timestamptz) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
return exists (select from tandem.cdr c where c.rid = of_rid and c.started_at >= since)
   and exists (select from tandem.cdr_leg l where l.rid = of_rid and tandem.acting_sees(l.payer_id));
comment on function tandem.call_began_since is
  'Whether a call that somebody pays whom the acting account sees began at this moment or later; a call in progress is not known yet.';
revoke execute on function tandem.call_began_since from public;
grant execute on function tandem.call_began_since to tandem_tool, tandem_tenant;

do $$
declare
  visible constant text := 'any ((select tandem.visible_ids_v1())::bigint[])';
  acting  constant text := '(select tandem.acting_account_v1())';
  since   constant text := '((select tandem.known_since()) ->> %s::text)::timestamptz';
  latest  constant text := format('greatest(%s, %s)', format(since, 'payer_id'), format(since, 'payee_id'));
begin
  execute format('alter policy sees on tandem.ledger_entry using (account_id = %s or book = ''fund'' and account_id = %s and case'
                 ' when not (select tandem.known_since()) ? account_id::text then true when rid is null then posted_at >= %s'
                 ' else tandem.call_began_since(rid, %3$s) end)', acting, visible, format(since, 'account_id'));
  execute format('alter policy sees on tandem.cdr_leg using (payer_id = %1$s or book = ''fund'' and (payee_id = %1$s'
                 ' or payer_id = %2$s and payee_id = %2$s and case when %3$s is null then true'
                 ' else tandem.call_began_since(rid, %3$s) end))', acting, visible, latest);
end $$;

-- An operator's word for a network binds the platform's own carriers; a tenant's does not
alter table tandem.trusted_source add column is_vouched boolean not null default true;
comment on column tandem.trusted_source.is_vouched is
  'An operator wrote the network: what names of the platform''s carriers stand for gives way to it, and to no other source. Set by trigger.';
update tandem.trusted_source t set is_vouched = false
 where exists (select from tandem.audit a join tandem.account w on w.id = a.acting_account_id and w.kind <> 'root'
                where a.table_name = 'trusted_source' and a.key = t.id::text and (a.action = 'insert' or 'network' = any (a.changed)));
select tandem.no_own_keys('trusted_source');

create function tandem.keep_vouched() returns trigger
language plpgsql
as $$
begin
  if not tandem.is_platform() then
    new.is_vouched := tg_op = 'UPDATE' and old.is_vouched
      and (new.network, new.transport, new.from_pattern) = (old.network, old.transport, old.from_pattern);
  elsif tg_op = 'UPDATE' and new.network <> old.network then
    new.is_vouched := true;
  end if;
  return new;
end $$;
comment on function tandem.keep_vouched is 'Trigger: says whether an operator wrote the network.';
revoke execute on function tandem.keep_vouched from public;
create trigger keep_vouched before insert or update on tandem.trusted_source for each row execute function tandem.keep_vouched();

create or replace function tandem.check_server_address() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  server tandem.peering_server;
  tenant bigint;
  taken  record;
begin
  select * into server from tandem.peering_server s where s.id = new.server_id;
  if server.host is null then
    raise check_violation using message = format('server %s has no name that could stand for %s', new.server_id, host(new.address));
  end if;
  perform pg_advisory_xact_lock(hashtextextended('tandem.peering_server', 0));
  select g.account_id into tenant from tandem.peering_group g join tandem.account a on a.id = g.account_id
   where g.id = server.group_id and a.kind <> 'root';
  if tenant is not null then  -- it reads what is said here, so nobody else is named
    if tandem.taken_network(tenant, array[new.address::cidr]) is not null
       or exists (select from tandem.trusted_source t where new.address <<= t.network)
       or exists (select from tandem.peering_server s
                   cross join tandem.networks_of_server(s.id, s.address, s.aliases) as theirs
                   where s.group_id <> server.group_id and theirs = new.address::cidr)
    then
      raise unique_violation using message = 'the address is not available';
    end if;
    return new;
  end if;
  if new.address <<= any ('{0.0.0.0/8,169.254.0.0/16,224.0.0.0/3,fe80::/10,ff00::/8}'::inet[]) then
    raise check_violation using message = format('server %L: %s is the address of no host', server.name, host(new.address));
  end if;
  select t.id, t.network into taken from tandem.trusted_source t where new.address <<= t.network and t.is_vouched limit 1;
  if found then
    raise check_violation using message = format('server %L: %s lies in network %s of trusted source %s; only an operator may say that calls from there are a carrier''s, by writing the address',
      server.name, host(new.address), taken.network, taken.id);
  end if;
  perform tandem.refuse_shared_network(server.group_id, server.id, server.name, array[new.address::cidr]);
  return new;
end $$;
comment on function tandem.check_server_address is
  'Trigger: what a name stands for is a host''s address, no other group''s, and in no network of a trusted source; of a tenant''s carrier it is '
  'available to the tenant as if it had written the address itself. The root''s own carriers may stand on the loopback.';

-- Each name costs the resolver a question, and a silent one two seconds of everybody's time
create or replace function tandem.admit_server() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  our_ports constant integer[] := '{5432,6379,6432,16379,26379}';  -- Postgres, Redis and what stands before them
  olds cidr[] := '{}';
  names integer;
begin
  if new.host is not null and (tg_op = 'INSERT' or old.host is null) then
    select count(*) into names
      from tandem.peering_server s join tandem.peering_group g on g.id = s.group_id
     where s.host is not null and g.account_id = (select mine.account_id from tandem.peering_group mine where mine.id = new.group_id);
    if names >= 100 then
      raise check_violation using message = format('server %L: its account has 100 servers with names, and may have no more', new.name);
    end if;
  end if;
  if tg_op = 'UPDATE' then
    olds := array(select tandem.server_networks(old.address, old.aliases));
  end if;
  perform tandem.refuse_foreign_networks('server',
    array(select n from tandem.server_networks(new.address, new.aliases) as n where n <> all (olds)));
  if new.port = any (our_ports) and (tg_op = 'INSERT' or new.port <> old.port) then
    raise check_violation using message = format('server %L: the port %s is not available', new.name, new.port);
  elsif new.is_trusted and (tg_op = 'INSERT' or not old.is_trusted
                            or (new.address, new.host, new.aliases) is distinct from (old.address, old.host, old.aliases)) then
    raise insufficient_privilege using message =
      format('server %L: is_trusted is the platform''s to say, for the address that it trusts; give it as no', new.name);
  end if;
  return new;
end $$;

comment on function tandem.admit_server is
  'Trigger: a tenant''s server has only addresses that are nobody''s whom it does not see, and no port of a database; an account has at most 100 '
  'with names; what callers say there only the platform believes.';
revoke execute on function tandem.hold_tree from public;
