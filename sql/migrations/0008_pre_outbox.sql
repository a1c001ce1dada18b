-- The outbox: which values of Redis a statement touched. It carries names only; the sync tool reads the current state.
set local role tandem_owner;

create table tandem.outbox (
  id         bigint generated always as identity primary key,
  kind       text not null,
  key        text not null,
  created_at timestamptz not null default clock_timestamp()
);
comment on table tandem.outbox is 'Values that the next pass of tandem sync must write again; NOTIFY tandem_outbox wakes it.';
comment on column tandem.outbox.id is 'Order of writing; transactions commit in another one, so never a high-water mark.';
comment on column tandem.outbox.kind is 'Name of the view in schema sync.';
comment on column tandem.outbox.key is 'The row''s name there; * = the table was truncated: compare the whole kind.';
comment on column tandem.outbox.created_at is 'When it was written: the age of the oldest row is the lag of the sync.';

create sequence tandem.sync_fence;
create sequence tandem.sync_pass;
comment on sequence tandem.sync_fence is 'Drawn by a syncer when it takes over; a lower fence is refused by Redis.';
comment on sequence tandem.sync_pass is 'Drawn for each pass; version of a value = (fence, pass).';

create function tandem.write_outbox() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  images   text[] := case tg_op when 'INSERT' then '{new_rows}' when 'DELETE' then '{old_rows}' else '{old_rows,new_rows}' end;
  image    text;
  branches text[] := '{}';
  written  bigint;
begin
  for i in 0 .. tg_nargs - 1 by 2 loop
    if tg_op = 'TRUNCATE' then
      branches := branches || format('select %L, %L', tg_argv[i], '*');
    else
      foreach image in array images loop
        branches := branches || format('select %L, k.key from %I as r cross join lateral (%s) as k(key)', tg_argv[i], image, tg_argv[i + 1]);
      end loop;
    end if;
  end loop;
  execute 'insert into tandem.outbox(kind, key) ' || array_to_string(branches, ' union ') using tg_op;  -- union: each key once
  get diagnostics written = row_count;
  if written > 0 then
    perform pg_notify('tandem_outbox', '');
  end if;
  return null;
end $$;
comment on function tandem.write_outbox is
  'Trigger(kind, query, …): writes the keys that each query finds for the old and the new rows, which it sees as r; $1 is the operation.';

create function tandem.feed_outbox(of_table text, variadic feeds text[]) returns void
language plpgsql
as $$
declare
  arguments text := (select string_agg(quote_literal(feed), ', ' order by place) from unnest(feeds) with ordinality as f(feed, place));
  event     record;
begin
  for event in
    select * from (values
      ('insert',   'after',  'referencing new table as new_rows'),
      ('update',   'after',  'referencing old table as old_rows new table as new_rows'),
      ('delete',   'after',  'referencing old table as old_rows'),
      ('truncate', 'before', '')  -- the dependents' rows are still there
    ) as e(name, moment, images)
  loop
    execute format('create trigger outbox_%s %s %s on tandem.%I %s for each statement execute function tandem.write_outbox(%s)',
      event.name, event.moment, event.name, of_table, event.images, arguments);
  end loop;
end $$;
comment on function tandem.feed_outbox is 'Give a table its outbox triggers: pairs of (kind, query of keys over the changed row r).';

select tandem.feed_outbox('account',
  'account', $q$ select 'acct:' || r.id $q$,
  'fund_terms', $q$ select f.account_id || ':' || f.currency from tandem.fund f where f.account_id = r.id $q$);
select tandem.feed_outbox('reply_override',
  'account', $q$ select 'acct:' || r.account_id $q$);
select tandem.feed_outbox('sip_domain',
  'sip_domain', $q$ select 'dom:' || r.name $q$,
  'subscriber', $q$ select 'sub:' || s.username || '@' || r.name from tandem.subscriber s where s.sip_domain_id = r.id $q$,
  'number', $q$ select 'num:' || n.e164 from tandem.number n join tandem.subscriber s on s.id = n.subscriber_id
                 where s.sip_domain_id = r.id $q$,
  'sources', $q$ select 'src:' || t.network from tandem.trusted_source t join tandem.subscriber s on s.id = t.subscriber_id
                  where s.sip_domain_id = r.id $q$);
select tandem.feed_outbox('subscriber',
  'subscriber', $q$ select 'sub:' || r.username || '@' || d.name from tandem.sip_domain d where d.id = r.sip_domain_id $q$,
  'number', $q$ select 'num:' || n.e164 from tandem.number n where n.subscriber_id = r.id $q$,
  'sources', $q$ select 'src:' || t.network from tandem.trusted_source t where t.subscriber_id = r.id $q$);
select tandem.feed_outbox('trusted_source',
  'sources', $q$ select 'src:' || r.network $q$,
  'masks', $q$ select 'masks' $q$);
select tandem.feed_outbox('number',
  'number', $q$ select 'num:' || r.e164 $q$);
select tandem.feed_outbox('rewrite_set',
  'rewrite_set', $q$ select 'rws:' || r.id $q$);
select tandem.feed_outbox('rewrite_rule',
  'rewrite_set', $q$ select 'rws:' || r.rewrite_set_id $q$);
select tandem.feed_outbox('peering_group',
  'peering_group', $q$ select 'pg:' || r.id $q$,
  'account', $q$ select 'acct:' || r.account_id where $1 <> 'UPDATE' $q$,  -- owns_carriers; a group keeps its owner
  'sources', $q$ select 'src:' || n from tandem.peering_server s, tandem.server_networks(s.address, s.aliases) as n
                  where s.group_id = r.id $q$,
  'masks', $q$ select 'masks' $q$);
select tandem.feed_outbox('peering_server',
  'peering_group', $q$ select 'pg:' || r.group_id $q$,
  'sources', $q$ select 'src:' || n from tandem.server_networks(r.address, r.aliases) as n $q$,
  'masks', $q$ select 'masks' $q$);
select tandem.feed_outbox('peering_rule',
  'peering_rules', $q$ select 'rules:' || r.account_id || ':' || r.callee_prefix $q$);
select tandem.feed_outbox('inbound_rule',
  'peering_group', $q$ select 'pg:' || r.group_id $q$);
select tandem.feed_outbox('tariff',
  'tariff', $q$ select 'tar:' || r.id $q$,
  'peering_group', $q$ select 'pg:' || g.id from tandem.peering_group g where g.tariff_id = r.id $q$);
-- Rates and price classes have no outbox triggers: 10 million rows of a COPY are one change, that of their set to ready.
select tandem.feed_outbox('rate_set',
  'rate_set', $q$ select 'rset:' || r.id where r.state = 'ready' $q$);
select tandem.feed_outbox('emergency_route',
  'emergency', $q$ select 'emergency' $q$);
select tandem.feed_outbox('fund',
  'fund_terms', $q$ select r.account_id || ':' || r.currency $q$);
select tandem.feed_outbox('fund_credit',
  'fund_terms', $q$ select r.account_id || ':' || r.currency $q$);
