-- Carriers as the acting account may know them: those that it sees, and of those above it, with the right carriers_seen, the name.
set local role tandem_owner;

create view tandem.carrier_record with (security_invoker = true) as
select g.id, g.account_id, g.name::text as name, g.enabled, g.priority, g.share, g.may_return, g.tariff_id, g.contact_id, g.rewrite_set_id,
       g.owed_max_micros, g.day_max_micros, g.month_max_micros
  from tandem.peering_group g
union all
select l.id, l.account_id, l.name, l.enabled, null, null, null, null, null, null, null, null, null
  from tandem.lent_carriers() as l;
comment on view tandem.carrier_record is 'Carriers that one sees, and the names of those above; what is not to be known of these is null.';
comment on column tandem.carrier_record.id is 'The carrier.';
comment on column tandem.carrier_record.account_id is 'Whose it is.';
comment on column tandem.carrier_record.name is 'Its name.';
comment on column tandem.carrier_record.enabled is 'Whether calls go there and come from there.';
comment on column tandem.carrier_record.priority is 'As in peering_group, like all that follows; null of a carrier above.';
comment on column tandem.carrier_record.share is 'Part of the calls among equal carriers.';
comment on column tandem.carrier_record.may_return is 'Whether calls may go back where they came from.';
comment on column tandem.carrier_record.tariff_id is 'Its deck.';
comment on column tandem.carrier_record.contact_id is 'Whom to write to.';
comment on column tandem.carrier_record.rewrite_set_id is 'Rules of servers that name none.';
comment on column tandem.carrier_record.owed_max_micros is 'What may be owed to it.';
comment on column tandem.carrier_record.day_max_micros is 'What may go there in a day.';
comment on column tandem.carrier_record.month_max_micros is 'What may go there in a month.';
grant select on tandem.carrier_record to tandem_tool, tandem_tenant;
