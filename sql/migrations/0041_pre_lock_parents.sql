-- Two transactions that change two rows of one value, each before the other has committed, must not both name what the
-- value was called before: a line and its domain renamed at once have a name then that neither of them has seen, and
-- nothing would tell the sync of it. So whoever changes a row holds still the rows above it that its values are made of.
set local role tandem_owner;

create function tandem.lock_parents() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  images text := case tg_op when 'INSERT' then 'select * from new_rows' when 'DELETE' then 'select * from old_rows'
                            else 'select * from old_rows union all select * from new_rows' end;
begin
  for i in 0 .. tg_nargs - 1 loop
    execute format('with r as (%s) %s', images, tg_argv[i]);
  end loop;
  return null;
end $$;
comment on function tandem.lock_parents is
  'Trigger(query, …): locks what each query finds for the old and the new rows r. Fires before the outbox triggers, which then see what was committed.';
revoke execute on function tandem.lock_parents from public;

do $$
declare
  of_line   text := 'select from tandem.subscriber s where s.id in (select subscriber_id from r) order by s.id for key share of s';
  of_domain text := 'select from tandem.sip_domain d where d.id in (select s.sip_domain_id from tandem.subscriber s'
                    ' where s.id in (select subscriber_id from r)) order by d.id for key share of d';
  event     record;
  parents   record;
begin
  for parents in
    select * from (values
      ('subscriber', array['select from tandem.sip_domain d where d.id in (select sip_domain_id from r) order by d.id for key share of d']),
      ('number', array[of_line, of_domain]),
      ('trusted_source', array[of_line, of_domain]),
      ('peering_server', array['select from tandem.peering_group g where g.id in (select group_id from r) order by g.id for share of g'])
    ) as p(child, queries)
  loop
    for event in
      select * from (values
        ('insert', 'referencing new table as new_rows'),
        ('update', 'referencing old table as old_rows new table as new_rows'),
        ('delete', 'referencing old table as old_rows')
      ) as e(name, images)
    loop
      execute format('create trigger lock_parents_%s after %s on tandem.%I %s for each statement execute function tandem.lock_parents(%s)',
        event.name, event.name, parents.child, event.images,
        (select string_agg(quote_literal(query), ', ' order by place) from unnest(parents.queries) with ordinality as q(query, place)));
    end loop;
  end loop;
end $$;
