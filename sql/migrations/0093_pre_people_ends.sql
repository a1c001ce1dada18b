-- Where calls end: no destination leads back to itself, none leads on for ever, no callflow has a step that nothing leads to.
-- All of it is judged when a transaction commits, so that one transaction may build it in any order.
set local role tandem_owner;

-- A node: what can lead on. subscriber/5, user/7, group/3, callflow/2.
create function tandem.node(subscriber_id bigint, user_id bigint, ring_group_id bigint, callflow_id bigint) returns text
language plpgsql immutable
as $$
begin
  return case
    when subscriber_id is not null then 'subscriber/' || subscriber_id
    when user_id is not null then 'user/' || user_id
    when ring_group_id is not null then 'group/' || ring_group_id
    when callflow_id is not null then 'callflow/' || callflow_id end;
end $$;
comment on function tandem.node is 'What leads on, as <kind>/<id>; null for what does not: a media server, a number.';

-- What forwards, overflows and steps of a node lead to; a number of the same account stands for what it reaches. What a group or a step
-- rings ends there: nobody's forwards count in it.
create function tandem.leads_to(of_node text) returns setof text
language plpgsql stable
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  of_id constant bigint := split_part(of_node, '/', 2)::bigint;
begin
  case split_part(of_node, '/', 1)
    when 'subscriber', 'user' then
      return query
      select coalesce(tandem.node(f.to_subscriber_id, f.to_user_id, f.to_ring_group_id, f.to_callflow_id),
                      (select tandem.node(n.subscriber_id, n.user_id, n.ring_group_id, n.callflow_id) from tandem.number n
                        where n.e164 = f.to_e164 and n.account_id = f.account_id))
        from tandem.forward f
       where case when of_node like 'user/%' then f.user_id else f.subscriber_id end = of_id;
    when 'group' then
      return query
      select coalesce(tandem.node(g.overflow_subscriber_id, g.overflow_user_id, g.overflow_ring_group_id, g.overflow_callflow_id),
                      (select tandem.node(n.subscriber_id, n.user_id, n.ring_group_id, n.callflow_id) from tandem.number n
                        where n.e164 = g.overflow_e164 and n.account_id = g.account_id))
        from tandem.ring_group g where g.id = of_id;
    when 'callflow' then
      return query
      select coalesce(tandem.node(null, null, null, c.flow_id),
                      (select tandem.node(n.subscriber_id, n.user_id, n.ring_group_id, n.callflow_id) from tandem.number n
                        where n.e164 = c.e164 and n.account_id = c.account_id))
        from tandem.callflow_step c where c.callflow_id = of_id and c.kind in ('flow', 'forward');
  end case;
end $$;
comment on function tandem.leads_to is 'The nodes that a node leads on to; nulls among them for what does not lead on.';

-- One query for each kind: a condition that chooses among columns has no index.
do $$
declare
  body text := '';
  kind record;
begin
  for kind in
    select * from (values ('subscriber', 'subscriber_id'), ('user', 'user_id'), ('group', 'ring_group_id'), ('callflow', 'callflow_id')) as k(name, named)
  loop
    body := body || format($q$
    when %1$L then
      return query
      select tandem.node(f.subscriber_id, f.user_id, null, null) from tandem.forward f where f.to_%2$s = to_id
      union
      select 'group/' || g.id from tandem.ring_group g where g.overflow_%2$s = to_id
      union
      select 'callflow/' || c.callflow_id from tandem.callflow_step c where %3$s
      union
      select tandem.leads_to_number(n.e164, n.account_id) from tandem.number n where n.%2$s = to_id;$q$,
      kind.name, kind.named, case kind.name when 'callflow' then 'c.flow_id = to_id' else 'false' end);
  end loop;
  execute format($q$
    create function tandem.leads_to_number(digits text, of_account bigint) returns setof text
    language sql stable
    set enable_seqscan = off
    begin atomic
      select tandem.node(f.subscriber_id, f.user_id, null, null) from tandem.forward f where f.to_e164 = digits and f.account_id = of_account
      union
      select 'group/' || g.id from tandem.ring_group g where g.overflow_e164 = digits and g.account_id = of_account
      union
      select 'callflow/' || c.callflow_id from tandem.callflow_step c where c.e164 = digits and c.account_id = of_account;
    end
  $q$);
  execute format('create function tandem.led_from(to_node text) returns setof text language plpgsql stable set enable_seqscan = off as %L',
    E'declare\n  to_id constant bigint := split_part(to_node, \'/\', 2)::bigint;\nbegin\n  case split_part(to_node, \'/\', 1)' || body || E'\n  end case;\nend');
end $$;
comment on function tandem.leads_to_number is 'The nodes of an account that lead on to a number.';
comment on function tandem.led_from is 'The nodes that lead on to a node.';

create function tandem.node_name(of_node text) returns text
language plpgsql stable
as $$
declare
  of_id constant bigint := split_part(of_node, '/', 2)::bigint;
begin
  return split_part(of_node, '/', 1) || ' ' || quote_literal(case split_part(of_node, '/', 1)
    when 'subscriber' then (select s.username || '@' || d.name from tandem.subscriber s join tandem.sip_domain d on d.id = s.sip_domain_id where s.id = of_id)
    when 'user' then (select u.name from tandem.user u where u.id = of_id)
    when 'group' then (select g.name from tandem.ring_group g where g.id = of_id)
    else (select c.name from tandem.callflow c where c.id = of_id) end);
end $$;
comment on function tandem.node_name is 'A node as people name it.';

-- of_node: what leads on. rule: the forward, overflow or step that was written, for the message.
create function tandem.refuse_endless(of_node text, rule text) returns void
language plpgsql stable
as $$
declare
  deepest constant integer := 5;
  below   integer := 0;
  above   integer := 0;
  level   text[] := array[of_node];
begin
  while below <= deepest loop
    level := array(select distinct n.node from unnest(level) as l(node) cross join lateral tandem.leads_to(l.node) as n(node) where n.node is not null);
    exit when cardinality(level) = 0;
    if of_node = any (level) then
      raise check_violation using message = format('%s: %s leads back to it', tandem.node_name(of_node), rule);
    end if;
    below := below + 1;
  end loop;
  level := array[of_node];
  while below > 0 and above + below <= deepest loop
    level := array(select distinct n.node from unnest(level) as l(node) cross join lateral tandem.led_from(l.node) as n(node) where n.node is not null);
    exit when cardinality(level) = 0;
    above := above + 1;
  end loop;
  if above + below > deepest then
    raise check_violation using message = format('%s: with %s a call would be led on more than %s times', tandem.node_name(of_node), rule, deepest);
  end if;
end $$;
comment on function tandem.refuse_endless is 'Error where a node leads back to itself, or calls are led on more than 5 times through it.';

-- A callflow that nothing reaches may have no steps yet.
create function tandem.refuse_dead_end(of_callflow bigint, who text) returns void
language plpgsql stable
as $$
begin
  if of_callflow is not null and exists (select from tandem.callflow c where c.id = of_callflow)
     and not exists (select from tandem.callflow_step s where s.callflow_id = of_callflow) then
    raise check_violation using message = format('%s: %s has no steps', who, tandem.node_name('callflow/' || of_callflow));
  end if;
end $$;
comment on function tandem.refuse_dead_end is 'Error where a callflow that somebody reaches has no steps.';

-- Two transactions that each lead on to what the other one writes would build a circle that neither sees. So they are judged one after the other.
-- A circle is one account's, as what leads on stays within an account; so nobody waits for another account's writers. What a transaction
-- writes is announced at once and held when the first of it is judged, in the order of keys: two that write about the same accounts wait in turn,
-- and not for each other. No row is locked, so that who judges waits for nobody who writes. A number that is written at the same moment is not
-- waited for: numbers come by the hundred thousand.
create function tandem.note_leads(of_accounts bigint[]) returns void
language plpgsql volatile
as $$
declare
  most  constant integer := 1000;  -- the server has room for some 6400 locks, and a file may be about a hundred thousand accounts
  noted bigint[] := coalesce(nullif(current_setting('tandem.leads', true), ''), '{}');
begin
  if noted = '{0}' or noted @> of_accounts then
    return;
  end if;
  noted := array(select distinct a from unnest(noted || of_accounts) as a order by a);
  perform set_config('tandem.leads', case when cardinality(noted) > most then '{0}' else noted::text end, true);
end $$;
comment on function tandem.note_leads is
  'Announce that this transaction writes what leads on in these accounts. Of more than 1000 all are meant: setting tandem.leads is {0} then.';

create function tandem.hold_leads(of_account bigint) returns void
language plpgsql volatile
as $$
declare
  leads constant integer := 2051924491;  -- 0x7A4DE20B, and the account; with 0 all of them, which is held shared by who holds one
  noted text;
begin
  perform tandem.note_leads(array[of_account]);
  noted := current_setting('tandem.leads');
  if noted = current_setting('tandem.leads_held', true) then
    return;
  elsif noted = '{0}' then
    perform pg_advisory_xact_lock(leads, 0);
  else
    perform pg_advisory_xact_lock_shared(leads, 0);
    perform pg_advisory_xact_lock(leads, k.key)
       from (select distinct (a % 2147483647)::integer + 1 as key from unnest(noted::bigint[]) as a order by key) as k;
  end if;
  perform set_config('tandem.leads_held', noted, true);
end $$;
comment on function tandem.hold_leads is
  'Wait until nobody else is judging what leads on in this account and in those that were announced, and keep others waiting until the transaction ends.';

create function tandem.announce_leads() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  case tg_table_name
    when 'number' then
      perform tandem.note_leads(array(
        select distinct r.account_id from written r
         where r.callflow_id is not null
            or exists (select from tandem.forward f where f.to_e164 = r.e164)
            or exists (select from tandem.callflow_step c where c.e164 = r.e164)
            or exists (select from tandem.ring_group g where g.overflow_e164 = r.e164)));
    when 'extension' then
      perform tandem.note_leads(array(select distinct r.account_id from written r where r.callflow_id is not null));
    else
      perform tandem.note_leads(array(select distinct r.account_id from written r));
  end case;
  return null;
end $$;
comment on function tandem.announce_leads is 'Trigger: announces the accounts in which this statement writes what will be judged.';
revoke execute on function tandem.announce_leads() from public;
do $$
declare
  place record;
begin
  for place in
    select t.name, e.event, e.image
      from unnest(array['forward', 'ring_group', 'extension', 'number', 'callflow_step']) as t(name)
      join (values ('insert', 'new'), ('update', 'new'), ('delete', 'old')) as e(event, image) on e.event <> 'delete' or t.name = 'callflow_step'
  loop
    execute format('create trigger %I after %s on tandem.%I referencing %s table as written for each statement execute function tandem.announce_leads()',
      'announce_leads_' || place.event, place.event, place.name, place.image);
  end loop;
end $$;

-- Each trigger looks at the row as it is at the end of the transaction.

create function tandem.check_forward() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  this tandem.forward := (select f from tandem.forward f where f.id = new.id);
  rule text := format('its forward %s/%s', this.kind, this.priority);
  node text := tandem.node(this.subscriber_id, this.user_id, null, null);
begin
  if this.id is not null then
    perform tandem.hold_leads(this.account_id);
    perform tandem.refuse_dead_end(this.to_callflow_id, tandem.node_name(node) || ', ' || rule);
    perform tandem.refuse_endless(node, rule);
  end if;
  return null;
end $$;
comment on function tandem.check_forward is 'Trigger: a forward leads somewhere, and not back.';

create function tandem.check_group() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  this tandem.ring_group := (select g from tandem.ring_group g where g.id = new.id);
begin
  if this.id is not null then
    perform tandem.hold_leads(this.account_id);
    perform tandem.refuse_dead_end(this.overflow_callflow_id, tandem.node_name('group/' || this.id) || ', its overflow');
    perform tandem.refuse_endless('group/' || this.id, 'its overflow');
  end if;
  return null;
end $$;
comment on function tandem.check_group is 'Trigger: an overflow leads somewhere, and not back.';

create function tandem.check_extension() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform tandem.hold_leads(new.account_id);
  perform tandem.refuse_dead_end(x.callflow_id, format('extension %L', x.dialled)) from tandem.extension x where x.id = new.id;
  return null;
end $$;
comment on function tandem.check_extension is 'Trigger: an extension leads somewhere.';

create function tandem.check_number() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  this tandem.number;
  node text;
begin
  if new.callflow_id is null  -- as nearly always, and a hundred thousand are written at once
     and not exists (select from tandem.forward f where f.to_e164 = new.e164)
     and not exists (select from tandem.callflow_step c where c.e164 = new.e164)
     and not exists (select from tandem.ring_group g where g.overflow_e164 = new.e164) then
    return null;
  end if;
  select n.* into this from tandem.number n where n.id = new.id;
  if found then
    perform tandem.hold_leads(this.account_id);
    perform tandem.refuse_dead_end(this.callflow_id, format('number %L', this.e164));
    for node in select tandem.leads_to_number(this.e164, this.account_id) loop  -- whoever leads to it now leads to what it reaches
      perform tandem.refuse_endless(node, format('number %L, where it leads to,', this.e164));
    end loop;
  end if;
  return null;
end $$;
comment on function tandem.check_number is 'Trigger: what a number reaches does not lead back to who leads to the number.';

create function tandem.check_callflow() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  judged  constant bigint := case tg_op when 'DELETE' then old.callflow_id else new.callflow_id end;
  node    constant text := 'callflow/' || judged;
  step    tandem.callflow_step;
  after   integer;
  reached integer[];
  users   text;
begin
  perform tandem.hold_leads(case tg_op when 'DELETE' then old.account_id else new.account_id end);
  if not exists (select from tandem.callflow c where c.id = judged) then
    return null;
  end if;
  select min(s.position) into after from tandem.callflow_step s where s.callflow_id = judged;
  if after is null then
    select u.who into users from (
      select format('number %L', n.e164) from tandem.number n where n.callflow_id = judged
      union all
      select format('extension %L', x.dialled) from tandem.extension x where x.callflow_id = judged
      union all
      select tandem.node_name(l.node) from tandem.led_from(node) as l(node)) as u(who) limit 1;
    if found then
      raise check_violation using message = format('%s: it has no steps, and %s leads to it', tandem.node_name(node), users);
    end if;
    return null;
  end if;
  reached := array[after];
  for step in select s.* from tandem.callflow_step s where s.callflow_id = judged order by s.position loop
    if step.position <> all (reached) then
      raise check_violation using message = format('%s: nothing leads to step %s (%s)', tandem.node_name(node), step.position, step.kind);
    end if;
    select min(s.position) into after from tandem.callflow_step s where s.callflow_id = judged and s.position > step.position;
    if step.otherwise is not null and not exists (select from tandem.callflow_step s where s.callflow_id = judged and s.position = step.otherwise) then
      raise check_violation using message = format('%s: step %s (%s) leads to step %s, which is not there', tandem.node_name(node), step.position, step.kind,
                                                   step.otherwise);
    elsif step.kind in ('time', 'caller') and after is null then
      raise check_violation using message = format('%s: step %s (%s) is the last one: nothing follows where it holds', tandem.node_name(node), step.position,
                                                   step.kind);
    elsif step.kind in ('time', 'caller', 'ring') then
      reached := array_remove(reached || after || step.otherwise, null);  -- a NULL would make every comparison with it unknown
    end if;
    perform tandem.refuse_dead_end(step.flow_id, format('%s, step %s', tandem.node_name(node), step.position));
    if step.kind in ('flow', 'forward') then
      perform tandem.refuse_endless(node, format('step %s (%s)', step.position, step.kind));
    end if;
  end loop;
  return null;
end $$;
comment on function tandem.check_callflow is
  'Trigger: every step of a callflow is led to, a condition leads to steps that are there, nothing leads back; one that something leads to has steps.';

revoke execute on function tandem.check_forward(), tandem.check_group(), tandem.check_extension(), tandem.check_number(), tandem.check_callflow() from public;
create constraint trigger check_forward after insert or update on tandem.forward
  deferrable initially deferred for each row execute function tandem.check_forward();
create constraint trigger check_group after insert or update on tandem.ring_group
  deferrable initially deferred for each row execute function tandem.check_group();
create constraint trigger check_extension after insert or update of callflow_id on tandem.extension
  deferrable initially deferred for each row when (new.callflow_id is not null) execute function tandem.check_extension();
create constraint trigger check_number after insert or update of e164, account_id, subscriber_id, user_id, ring_group_id, callflow_id on tandem.number
  deferrable initially deferred for each row
  when (new.subscriber_id is not null or new.user_id is not null or new.ring_group_id is not null or new.callflow_id is not null)
  execute function tandem.check_number();
create constraint trigger check_callflow after insert or update or delete on tandem.callflow_step
  deferrable initially deferred for each row execute function tandem.check_callflow();

-- What would never be reached: an emergency number goes its own way before anything else is looked at. An emergency number that comes later
-- is not refused; it goes first all the same.
create function tandem.refuse_emergency_extension() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from tandem.emergency_route e
              where e.number = new.dialled
                and (e.domain = '' and e.region = ''
                     or exists (select from tandem.subscriber s join tandem.sip_domain d on d.id = s.sip_domain_id
                                 where s.account_id = new.account_id
                                   and (e.domain = d.name or e.domain = '' and e.region = coalesce(nullif(s.region, ''), d.region))))) then
    raise check_violation using message = format('extension %L: it is an emergency number, which is called first', new.dialled);
  end if;
  return new;
end $$;
comment on function tandem.refuse_emergency_extension is 'Trigger: no extension is an emergency number of everybody or of a line of its account.';

create function tandem.refuse_emergency_number() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  digits constant text := to_jsonb(new) ->> tg_argv[0];
begin
  if exists (select from tandem.emergency_route e where e.number = digits) then
    raise check_violation using message = format('%s: number %L is an emergency number, to which no call is led', replace(tg_table_name, '_', ' '), digits);
  end if;
  return new;
end $$;
comment on function tandem.refuse_emergency_number is 'Trigger(column): nobody leads calls to an emergency number, of whomever it is.';
revoke execute on function tandem.refuse_emergency_extension(), tandem.refuse_emergency_number() from public;
create trigger refuse_emergency_extension before insert or update of dialled, account_id on tandem.extension
  for each row execute function tandem.refuse_emergency_extension();
do $$
declare
  place record;
begin
  for place in
    select * from (values ('extension', 'e164'), ('forward', 'to_e164'), ('ring_group', 'overflow_e164'), ('callflow_step', 'e164')) as p(of_table, named)
  loop
    execute format('create trigger refuse_emergency_number before insert or update of %1$I on tandem.%2$I for each row'
                   ' when (new.%1$I is not null) execute function tandem.refuse_emergency_number(%1$L)', place.named, place.of_table);
  end loop;
end $$;

-- What the rules of 0088 ask of new tables and columns: names without a slash, and no key of a tenant's choice.
do $$
declare
  named text;
begin
  foreach named in array '{user,ring_group,callflow,media_server}'::text[] loop
    execute format('create trigger refuse_slash_made before insert on tandem.%I for each row execute function tandem.refuse_slash()', named);
    execute format('create trigger refuse_slash_changed before update of name on tandem.%I for each row'
                   ' when (old.name <> new.name) execute function tandem.refuse_slash()', named);
  end loop;
end $$;
select tandem.no_own_keys();
