-- What users, groups, callflows, extensions, forwards and media servers change in Redis, who wrote them, who sees and writes them.
set local role tandem_owner;

grant select on tandem.user, tandem.ring_group, tandem.ring_group_member, tandem.media_server, tandem.callflow, tandem.callflow_step,
  tandem.extension, tandem.forward, tandem.trunk_place to tandem_sync, tandem_settle, tandem_tool;
grant insert, update, delete on tandem.user, tandem.ring_group, tandem.ring_group_member, tandem.media_server, tandem.callflow,
  tandem.callflow_step, tandem.extension, tandem.forward, tandem.trunk_place to tandem_tool;

create function tandem.is_word(name text) returns boolean
language plpgsql immutable strict
as $$
begin
  return lower(name) ~ '^([0-9*#]{1,8}|[a-z][a-z0-9._-]{0,63})$';
end $$;
comment on function tandem.is_word is 'Whether a user''s name can be dialled as an extension, in lower case.';

-- The outbox. A line's name stands in the values of all that reaches it; so a renamed line, or domain, names all of these.
do $$
declare
  -- {line}, {kind}: of the line; {from}, {and}: how a domain finds its lines.
  reached constant text[] := array[
    'number', $q$ select 'num:' || n.e164 from {from} tandem.number n where n.subscriber_id = {line} {and} $q$,
    'number', $q$ select 'num:' || n.e164 || x.dialled from {from} tandem.number n, tandem.extension x
                   where n.subscriber_id = {line} {and} and {kind} = 'pilot' and x.account_id = n.account_id and x.dialled ~ '^[0-9]+$' $q$,
    'number', $q$ select 'num:' || n.e164 || x.dialled from {from} tandem.extension x, tandem.subscriber p, tandem.number n
                   where x.subscriber_id = {line} {and} and x.dialled ~ '^[0-9]+$'
                     and p.account_id = x.account_id and p.kind = 'pilot' and n.subscriber_id = p.id $q$,
    'extension', $q$ select 'ext:' || x.account_id || ':' || x.dialled from {from} tandem.extension x where x.subscriber_id = {line} {and} $q$,
    'user', $q$ select 'user:' || f.user_id from {from} tandem.forward f where f.to_subscriber_id = {line} {and} and f.user_id is not null $q$,
    'subscriber', $q$ select 'sub:' || o.username || '@' || e.name from {from} tandem.forward f, tandem.subscriber o, tandem.sip_domain e
                       where f.to_subscriber_id = {line} {and} and o.id = f.subscriber_id and e.id = o.sip_domain_id $q$,
    'ring_group', $q$ select 'grp:' || m.ring_group_id from {from} tandem.ring_group_member m where m.subscriber_id = {line} {and} $q$,
    'ring_group', $q$ select 'grp:' || g.id from {from} tandem.ring_group g where g.overflow_subscriber_id = {line} {and} $q$,
    'callflow', $q$ select 'flow:' || c.callflow_id from {from} tandem.callflow_step c where c.subscriber_id = {line} {and} $q$,
    'sources', $q$ select 'src:' || t.network from {from} tandem.trusted_source t where t.subscriber_id = {line} {and} $q$];
  of_line   text[] := '{}';
  of_domain text[] := '{}';
  feed      text;
begin
  foreach feed in array reached loop
    of_line := of_line || replace(replace(replace(replace(feed, '{line}', 'r.id'), '{kind}', 'r.kind'), '{from}', ''), '{and}', '');
    of_domain := of_domain || replace(replace(replace(replace(feed, '{line}', 'l.id'), '{kind}', 'l.kind'), '{from}', 'tandem.subscriber l,'),
                                      '{and}', 'and l.sip_domain_id = r.id');
  end loop;
  perform tandem.feed_outbox('subscriber', variadic array[
    'subscriber', $q$ select 'sub:' || r.username || '@' || d.name from tandem.sip_domain d where d.id = r.sip_domain_id $q$,
    'user', $q$ select 'user:' || r.user_id where r.user_id is not null $q$,
    'fund_terms', $q$ select 'line' || r.id || ':' where r.calls_max + r.calls_in_max + r.calls_out_max > 0 $q$] || of_line);
  perform tandem.feed_outbox('sip_domain', variadic array[
    'sip_domain', $q$ select 'dom:' || r.name $q$,
    'subscriber', $q$ select 'sub:' || s.username || '@' || r.name from tandem.subscriber s where s.sip_domain_id = r.id $q$,
    'user', $q$ select 'user:' || s.user_id from tandem.subscriber s where s.sip_domain_id = r.id and s.user_id is not null $q$] || of_domain);
end $$;
select tandem.feed_outbox('number',
  'number', $q$ select 'num:' || r.e164 $q$,
  'number', $q$ select 'num:' || r.e164 || x.dialled from tandem.subscriber p join tandem.extension x on x.account_id = p.account_id
                 where p.id = r.subscriber_id and p.kind = 'pilot' and x.dialled ~ '^[0-9]+$' $q$);
select tandem.feed_outbox('extension',
  'extension', $q$ select 'ext:' || r.account_id || ':' || r.dialled $q$,
  'number', $q$ select 'num:' || n.e164 || r.dialled from tandem.subscriber p join tandem.number n on n.subscriber_id = p.id
                 where p.account_id = r.account_id and p.kind = 'pilot' and r.dialled ~ '^[0-9]+$' $q$);
select tandem.feed_outbox('user',
  'user', $q$ select 'user:' || r.id $q$,
  'fund_terms', $q$ select 'user' || r.id || ':' where r.calls_max > 0 $q$,
  'subscriber', $q$ select 'sub:' || s.username || '@' || d.name from tandem.subscriber s join tandem.sip_domain d on d.id = s.sip_domain_id
                     where s.user_id = r.id and r.calls_max > 0 $q$,
  'extension', $q$ select 'ext:' || r.account_id || ':' || lower(r.name) where tandem.is_word(r.name) $q$);
-- Calls of members are counted where the group passes over who is busy. Of a group that is gone nobody can say any more whether it did.
do $$
declare
  counted constant text := ' and not exists (select from tandem.ring_group g where g.id = r.ring_group_id and not g.skip_busy)';
begin
  perform tandem.feed_outbox('ring_group',
    'ring_group', $q$ select 'grp:' || r.id $q$,
    'subscriber', $q$ select 'sub:' || s.username || '@' || d.name from tandem.ring_group_member m
                        join tandem.subscriber s on s.id = m.subscriber_id join tandem.sip_domain d on d.id = s.sip_domain_id
                       where m.ring_group_id = r.id and r.skip_busy $q$,
    'subscriber', $q$ select 'sub:' || s.username || '@' || d.name from tandem.ring_group_member m
                        join tandem.subscriber s on s.user_id = m.user_id join tandem.sip_domain d on d.id = s.sip_domain_id
                       where m.ring_group_id = r.id and r.skip_busy $q$,
    'fund_terms', $q$ select coalesce('line' || m.subscriber_id, 'user' || m.user_id) || ':' from tandem.ring_group_member m
                       where m.ring_group_id = r.id and r.skip_busy $q$);
  perform tandem.feed_outbox('ring_group_member',
    'ring_group', $q$ select 'grp:' || r.ring_group_id $q$,
    'subscriber', $q$ select 'sub:' || s.username || '@' || d.name from tandem.subscriber s join tandem.sip_domain d on d.id = s.sip_domain_id
                       where s.id = r.subscriber_id $q$ || counted,
    'subscriber', $q$ select 'sub:' || s.username || '@' || d.name from tandem.subscriber s join tandem.sip_domain d on d.id = s.sip_domain_id
                       where s.user_id = r.user_id $q$ || counted,
    'fund_terms', $q$ select coalesce('line' || r.subscriber_id, 'user' || r.user_id) || ':' where true $q$ || counted);
end $$;
select tandem.feed_outbox('callflow', 'callflow', $q$ select 'flow:' || r.id $q$);
select tandem.feed_outbox('callflow_step', 'callflow', $q$ select 'flow:' || r.callflow_id $q$);
select tandem.feed_outbox('forward',
  'subscriber', $q$ select 'sub:' || s.username || '@' || d.name from tandem.subscriber s join tandem.sip_domain d on d.id = s.sip_domain_id
                     where s.id = r.subscriber_id $q$,
  'user', $q$ select 'user:' || r.user_id where r.user_id is not null $q$);
select tandem.feed_outbox('trunk_place',
  'subscriber', $q$ select 'sub:' || s.username || '@' || d.name from tandem.subscriber s join tandem.sip_domain d on d.id = s.sip_domain_id
                     where s.id = r.subscriber_id $q$);
select tandem.feed_outbox('media_server', 'media_server', $q$ select 'media:' || r.id $q$);

-- A name made of several rows must not change in two transactions at once (0041). The name of a pilot's number with an extension is made
-- of three: the account holds them together.
do $$
declare
  domain_of_line constant text := 'select s.sip_domain_id from tandem.subscriber s where s.id = r.subscriber_id';
  members        constant text := ' from tandem.ring_group_member m join tandem.subscriber s on s.id = m.subscriber_id or s.user_id = m.user_id'
                                  ' where m.ring_group_id = r.id and r.skip_busy';
begin
  perform tandem.feed_lock_parents('subscriber', 'sip_domain', 'select r.sip_domain_id', 'key share',
    'account', $q$ select r.account_id where r.kind = 'pilot' $q$, 'share');
  perform tandem.feed_lock_parents('number', 'subscriber', 'select r.subscriber_id', 'key share', 'sip_domain', domain_of_line, 'key share',
    'account', $q$ select s.account_id from tandem.subscriber s where s.id = r.subscriber_id and s.kind = 'pilot' $q$, 'share');
  perform tandem.feed_lock_parents('extension', 'account', $q$ select r.account_id where r.dialled ~ '^[0-9]+$' $q$, 'no key update');
  perform tandem.feed_lock_parents('forward', 'subscriber', 'select r.subscriber_id', 'key share', 'sip_domain', domain_of_line, 'key share');
  perform tandem.feed_lock_parents('trunk_place', 'subscriber', 'select r.subscriber_id', 'key share', 'sip_domain', domain_of_line, 'key share');
  perform tandem.feed_lock_parents('ring_group_member',
    'subscriber', 'select s.id from tandem.subscriber s where s.id = r.subscriber_id or s.user_id = r.user_id', 'key share',
    'sip_domain', 'select s.sip_domain_id from tandem.subscriber s where s.id = r.subscriber_id or s.user_id = r.user_id', 'key share');
  perform tandem.feed_lock_parents('ring_group',
    'subscriber', 'select s.id' || members, 'key share', 'sip_domain', 'select s.sip_domain_id' || members, 'key share');
  perform tandem.feed_lock_parents('user',
    'subscriber', 'select s.id from tandem.subscriber s where s.user_id = r.id and r.calls_max > 0', 'key share',
    'sip_domain', 'select s.sip_domain_id from tandem.subscriber s where s.user_id = r.id and r.calls_max > 0', 'key share');
end $$;

-- The audit

select tandem.feed_audit('user', 'r.id', 'r.account_id');
select tandem.feed_audit('ring_group', 'r.id', 'r.account_id');
select tandem.feed_audit('ring_group_member', 'r.id', 'r.account_id');
select tandem.feed_audit('media_server', 'r.id', 'r.account_id');
select tandem.feed_audit('callflow', 'r.id', 'r.account_id');
select tandem.feed_audit('callflow_step', 'r.id', 'r.account_id');
select tandem.feed_audit('extension', 'r.id', 'r.account_id');
select tandem.feed_audit('forward', 'r.id', 'r.account_id');
select tandem.feed_audit('trunk_place', 'r.id', 'select s.account_id from tandem.subscriber s where s.id = r.subscriber_id');

-- Who sees and writes them

select tandem.isolate(of_table, sees => 'account_id = {visible}', keeps => 'account_id = {visible}', needs => 'callflows')
  from unnest(array['user', 'ring_group', 'ring_group_member', 'callflow', 'callflow_step', 'extension', 'forward']) as of_table;
-- A media server is for all below its owner, who call it by its name.
select tandem.isolate('media_server', sees => 'account_id = {visible} or account_id = any ((select tandem.above_ids())::bigint[])',
                      keeps => 'account_id = {visible}', needs => 'callflows');
select tandem.isolate('trunk_place', sees => 'tandem.sees_line(subscriber_id)', keeps => 'tandem.sees_line(subscriber_id)');
grant select (kind, user_id, dnd, ring_s, calls_max, calls_in_max, calls_out_max, did_in, contacts_max, expires_min_s, expires_max_s,
              register_from, digest) on tandem.subscriber to tandem_tenant;

do $$
declare
  guarded record;
begin
  for guarded in
    select unnest(array['user', 'ring_group', 'ring_group_member', 'callflow', 'callflow_step', 'extension', 'forward', 'media_server']) as name
  loop
    execute format('create trigger admit_right before insert or update or delete on tandem.%I for each statement'
                   ' when (current_user = ''tandem_tenant'') execute function tandem.admit_right(''callflows'')', guarded.name);
  end loop;
  for guarded in
    select * from (values
      ('number', 'media_server_id', array['media_server_id', 'media_server']),
      ('ring_group', 'overflow_media_server_id', array['overflow_media_server_id', 'media_server']),
      ('extension', 'media_server_id', array['media_server_id', 'media_server']),
      ('forward', 'to_media_server_id, time_set_id', array['to_media_server_id', 'media_server', 'time_set_id', 'time_set']),
      ('callflow_step', 'media_server_id, time_set_id', array['media_server_id', 'media_server', 'time_set_id', 'time_set'])
    ) as g(name, columns, arguments)
  loop
    execute format('create trigger admit_references before insert or update of %s on tandem.%I for each row'
                   ' when (current_user = ''tandem_tenant'') execute function tandem.admit_references(%s)',
      guarded.columns, guarded.name, (select string_agg(quote_literal(a), ', ' order by n) from unnest(guarded.arguments) with ordinality as u(a, n)));
  end loop;
end $$;

create function tandem.private_networks() returns cidr[]
language sql immutable
return '{10.0.0.0/8,100.64.0.0/10,172.16.0.0/12,192.168.0.0/16,fc00::/7,fec0::/10}'::cidr[];
comment on function tandem.private_networks is 'Networks that are not the Internet''s: what stands there next to a node is the platform''s.';

create function tandem.admit_address() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  our_ports constant integer[] := '{5432,6379,6432,16379,26379}';  -- as tandem.admit_server
  what      constant text := replace(tg_table_name, '_', ' ');
begin
  if tg_op = 'INSERT' or new.address is distinct from old.address then
    perform tandem.refuse_taken_networks(what, array[new.address::cidr]);
    if new.address <<= any (tandem.private_networks()) then
      raise check_violation using message = format('%s: %s is a private address; calls are sent there only where the platform says so', what, host(new.address));
    end if;
  end if;
  if new.port = any (our_ports) and (tg_op = 'INSERT' or new.port <> old.port) then
    raise check_violation using message = format('%s: the port %s is not available', what, new.port);
  end if;
  return new;
end $$;
comment on function tandem.admit_address is
  'Trigger: a tenant sends calls only to public addresses that are nobody''s whom it does not see, and to no port of a database.';
revoke execute on function tandem.admit_address from public;
create trigger admit_address before insert or update on tandem.trunk_place
  for each row when (current_user = 'tandem_tenant') execute function tandem.admit_address();
create trigger admit_address before insert or update on tandem.media_server
  for each row when (current_user = 'tandem_tenant') execute function tandem.admit_address();

-- The other order. What a server's name stands for is not refused: whoever has a place could shut a carrier out.
create function tandem.refuse_taken_place() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  owner constant bigint := (select g.account_id from tandem.peering_group g where g.id = new.group_id);
  olds  cidr[] := '{}';
  taken record;
begin
  if tg_op = 'UPDATE' then
    olds := array(select tandem.server_networks(old.address, old.aliases));
  end if;
  select host(p.address) as address, p.what, p.account_id into taken
    from tandem.server_networks(new.address, new.aliases) as n
    join (select t.address, format('place %s of trunk %L', t.id, s.username) as what, s.account_id
            from tandem.trunk_place t join tandem.subscriber s on s.id = t.subscriber_id
          union all
          select m.address, format('media server %s %L', m.id, m.name), m.account_id from tandem.media_server m) as p on p.address <<= n
   where n <> all (olds) and p.account_id <> owner
   limit 1;
  if found and tandem.is_platform() then
    raise unique_violation using message = format('server %L: %s is the address of %s of account %s, whose calls would go to the carrier',
      new.name, taken.address, taken.what, taken.account_id);
  elsif found then
    raise unique_violation using message = format('server %L: the address %L is not available', new.name, taken.address);
  end if;
  return new;
end $$;
comment on function tandem.refuse_taken_place is
  'Trigger: a server''s address is no trunk''s place and no media server of another account, whose calls would reach the carrier as if they were ours.';
revoke execute on function tandem.refuse_taken_place from public;
create trigger refuse_taken_place before insert or update of group_id, address, aliases on tandem.peering_server
  for each row execute function tandem.refuse_taken_place();  -- after check_server, which lets one claim at a time in

-- And the first order, for those whom admit_address does not ask: the platform, and whoever sees the carrier. No call would go there.
-- Looked at twice: when it is written, so that what is refused has its place in a file; and at the end, when nobody claims a server's network
-- meanwhile. Places do not exclude each other, so they are let in together, and last: who had held that and then claimed a network could wait for
-- another one who does the same.
create function tandem.refuse_carriers_place() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  what     constant text := replace(tg_table_name, '_', ' ');
  owner    constant bigint := case tg_table_name
    when 'media_server' then (to_jsonb(new) ->> 'account_id')::bigint
    else (select s.account_id from tandem.subscriber s where s.id = (to_jsonb(new) ->> 'subscriber_id')::bigint) end;
  is_there boolean := true;
  taken    record;
begin
  if tg_when = 'AFTER' then
    execute format('select exists (select from tandem.%I p where p.id = $1 and p.address = $2)', tg_table_name) into is_there using new.id, new.address;
    if not is_there then  -- it has gone, or is judged as it became
      return null;
    end if;
    perform pg_advisory_xact_lock_shared(hashtextextended('tandem.peering_server', 0));  -- tandem.refuse_shared_network has it for itself
  end if;
  select s.name, g.account_id into taken
    from tandem.peering_server s
    join tandem.peering_group g on g.id = s.group_id
    cross join tandem.networks_of_server(s.id, s.address, s.aliases) as n
   where new.address <<= n and g.account_id <> owner
   limit 1;
  if found and tandem.is_platform() then
    raise unique_violation using message = format('%s: %s is the address of server %L of account %s, which would take the calls for our own', what,
      host(new.address), taken.name, taken.account_id);
  elsif found then
    raise unique_violation using message = format('%s: the address %L is not available', what, host(new.address));
  end if;
  return new;
end $$;
comment on function tandem.refuse_carriers_place is 'Trigger: a trunk''s place or a media server is at no address of another account''s carrier.';
revoke execute on function tandem.refuse_carriers_place from public;
create trigger refuse_carriers_place before insert or update of address on tandem.trunk_place
  for each row execute function tandem.refuse_carriers_place();
create trigger refuse_carriers_place before insert or update of address on tandem.media_server
  for each row execute function tandem.refuse_carriers_place();
create constraint trigger still_no_carriers_place after insert or update of address on tandem.trunk_place
  deferrable initially deferred for each row execute function tandem.refuse_carriers_place();
create constraint trigger still_no_carriers_place after insert or update of address on tandem.media_server
  deferrable initially deferred for each row execute function tandem.refuse_carriers_place();

create or replace function tandem.lent_ids(of_table text) returns bigint[]
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  viewer constant bigint := tandem.acting_account_v1();
  above  constant bigint[] := tandem.above_ids();
  levels bigint[];
begin
  case of_table
    when 'rewrite_set' then
      return array(
        select w.id from tandem.rewrite_set w
         where w.account_id = any (above)
           and (exists (select from tandem.visibility v join tandem.subscriber s on s.account_id = v.account_id
                         where v.viewer_id = viewer and s.rewrite_set_id = w.id)
                or exists (select from tandem.visibility v join tandem.sip_domain d on d.account_id = v.account_id
                            where v.viewer_id = viewer and d.rewrite_set_id = w.id)
                or exists (select from tandem.visibility v join tandem.peering_group g on g.account_id = v.account_id
                            where v.viewer_id = viewer and g.rewrite_set_id = w.id)
                or exists (select from tandem.visibility v join tandem.peering_group g on g.account_id = v.account_id
                             join tandem.peering_server p on p.group_id = g.id
                            where v.viewer_id = viewer and p.rewrite_set_id = w.id)));
    when 'barring_level' then
      return array(
        select b.id from tandem.barring_level b
         where b.account_id = any (above)
           and (exists (select from tandem.visibility v join tandem.subscriber s on s.account_id = v.account_id
                         where v.viewer_id = viewer and s.barring_id = b.id)
                or exists (select from tandem.visibility v join tandem.subscriber s on s.account_id = v.account_id
                            where v.viewer_id = viewer and s.own_barring_id = b.id)
                or exists (select from tandem.visibility v join tandem.account a on a.id = v.account_id
                            where v.viewer_id = viewer and a.barring_id = b.id)
                or exists (select from tandem.visibility v join tandem.account a on a.id = v.account_id
                            where v.viewer_id = viewer and a.own_barring_id = b.id)));
    when 'time_set' then
      levels := tandem.lent_ids('barring_level');
      return array(
        select t.id from tandem.time_set t
         where t.account_id = any (above)
           and (exists (select from tandem.visibility v join tandem.peering_rule r on r.account_id = v.account_id
                         where v.viewer_id = viewer and r.time_set_id = t.id)
                or exists (select from tandem.visibility v join tandem.barring_level b on b.account_id = v.account_id
                            where v.viewer_id = viewer and b.time_set_id = t.id)
                or exists (select from tandem.visibility v join tandem.forward f on f.account_id = v.account_id
                            where v.viewer_id = viewer and f.time_set_id = t.id)
                or exists (select from tandem.visibility v join tandem.callflow_step c on c.account_id = v.account_id
                            where v.viewer_id = viewer and c.time_set_id = t.id)
                or exists (select from tandem.barring_level b where b.time_set_id = t.id and b.id = any (levels))));
  end case;
end $$;
