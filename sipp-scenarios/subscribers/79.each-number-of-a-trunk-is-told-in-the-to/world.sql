select world.chain('u79', '88679');
select world.subscriber('pbx@u79.example', 'u79-customer', 'demo-secret', null);
select world.subscriber_option('pbx@u79.example', 'kind', 'trunk');
select world.subscriber_option('pbx@u79.example', 'did_in', 'to');
select world.did('886792000001', 'pbx@u79.example');
select world.did('886792000002', 'pbx@u79.example');
