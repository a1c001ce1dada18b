-- Least privilege. The owner writes the schema, each tool only what it is for; nobody but triggers writes what triggers keep.
set local role tandem_owner;

grant usage on schema tandem to tandem_sync, tandem_settle, tandem_tool;
grant usage on schema sync to tandem_sync, tandem_tool;

-- tandem sync: reads everything through the views, which run with its rights; deletes what it has applied.
grant select on all tables in schema tandem to tandem_sync;
grant delete on tandem.outbox to tandem_sync;
grant usage on sequence tandem.sync_fence, tandem.sync_pass to tandem_sync;
alter default privileges in schema sync grant select on tables to tandem_sync, tandem_tool;

-- tandem settle: posts, never corrects.
grant select on all tables in schema tandem to tandem_settle;
grant insert on tandem.ledger_entry to tandem_settle;
grant insert, update on tandem.cdr, tandem.cdr_leg, tandem.epoch, tandem.node to tandem_settle;
grant delete on tandem.cdr_leg to tandem_settle;  -- a later event of a call prices its legs anew
grant insert, delete on tandem.event_poison to tandem_settle;

-- Operators' commands: configuration; money only through functions.
grant select on all tables in schema tandem to tandem_tool;
grant insert, update, delete on
  tandem.account, tandem.contact, tandem.fund, tandem.tariff, tandem.rate_set, tandem.rate_class, tandem.rate,
  tandem.rewrite_set, tandem.rewrite_rule, tandem.sip_domain, tandem.subscriber, tandem.trusted_source, tandem.number,
  tandem.reply_override, tandem.peering_group, tandem.peering_server, tandem.peering_rule, tandem.inbound_rule,
  tandem.emergency_route
  to tandem_tool;
