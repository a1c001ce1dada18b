select world.chain('u45', '88645');
select world.subscriber('pbx@u45.example', 'u45-customer', 'demo-secret', null);
select world.subscriber_option('pbx@u45.example', 'kind', 'trunk');
select world.subscriber_option('pbx@u45.example', 'did_in', 'to');
select world.did('886452000001', 'pbx@u45.example');
